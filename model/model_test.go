package model_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// tiny is the smallest useful bundle, with missing features left as NaN.
func tiny() modeltest.Options {
	s := spec.Default()
	s.Name = "tiny"
	s.Columns.ID = "id"
	s.Columns.Target = spec.Target{Name: "left", Positive: "Yes"}
	s.Columns.Numeric = []spec.Numeric{{Name: "age of <account>"}, {Name: "charge"}}
	s.Columns.Categorical = []spec.Categorical{{Name: "plan", MaxLevels: 8}}
	s.Features.Impute = spec.ImputeNone
	s.Complete()
	return modeltest.Options{Spec: s, Rows: 200, Trees: 4}
}

func TestSameInputSameBytes(t *testing.T) {
	for _, o := range []modeltest.Options{{}, tiny()} {
		a, b := modeltest.Encoded(t, o), modeltest.Encoded(t, o)
		require.True(t, bytes.Equal(a, b))
		o.Seed = 99
		require.False(t, bytes.Equal(a, modeltest.Encoded(t, o)))
	}
}

func TestDatasetPlaceIsNoPartOfTheBundle(t *testing.T) {
	here, there := modeltest.Options{Spec: spec.Telco()}, modeltest.Options{Spec: spec.Telco()}
	there.Spec.Dataset.Path = "elsewhere/data.csv"
	require.True(t, bytes.Equal(modeltest.Encoded(t, here), modeltest.Encoded(t, there)))
	require.Equal(t, "elsewhere/data.csv", there.Spec.Dataset.Path, "the caller's spec is left alone")
}

func TestRoundTrip(t *testing.T) {
	for name, o := range map[string]modeltest.Options{"telco": {}, "missing features": tiny()} {
		t.Run(name, func(t *testing.T) {
			b := modeltest.Bundle(t, o)
			require.NoError(t, b.Verify())
			data, err := b.Encode()
			require.NoError(t, err)
			c, err := model.Decode(data)
			require.NoError(t, err)
			require.NoError(t, c.Verify())
			require.Equal(t, b.Manifest, c.Manifest)
			require.Equal(t, b.Baselines, c.Baselines)
			require.Equal(t, b.Spec.Digest(), c.Spec.Digest())
			again, err := c.Encode()
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, again))

			o.Seed = 5
			tab := modeltest.Table(t, o)
			want, got := b.ScoreTable(tab, nil), c.ScoreTable(tab, nil)
			for i := range want {
				require.Equal(t, math.Float64bits(want[i]), math.Float64bits(got[i]), "row %d", i)
			}
		})
	}
}

func TestFilesAreTheArtifacts(t *testing.T) {
	b := modeltest.Bundle(t, modeltest.Options{})
	files, err := b.Files()
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	require.Equal(t, []string{"manifest.json", "spec.yaml", "fitted_features.json", "model.txt", "baseline.json", "golden.json"}, names)
	var m model.Manifest
	require.NoError(t, json.Unmarshal(files[0].Data, &m))
	require.Equal(t, b.Manifest, m)
	p, err := feature.Parse(files[2].Data, b.Spec, b.Schema)
	require.NoError(t, err)
	require.Equal(t, b.Pipeline.Names(), p.Names())
	require.Contains(t, string(files[2].Data), "\n      \"column\": \"tenure\",\n", "one value per line, for people")
}

func TestGoldenRowsCoverLabelsAndMissingValues(t *testing.T) {
	o := modeltest.Options{Rows: 2000}
	b := modeltest.Bundle(t, o)
	require.LessOrEqual(t, len(b.Golden), model.MaxGolden)
	row := b.Schema.NewRow()
	labels, missing, levels := map[float64]bool{}, false, map[string]bool{}
	for _, g := range b.Golden {
		_, err := b.Schema.DecodeJSON(g.Record, row, dataset.DecodeOptions{RequireLabel: true})
		require.NoError(t, err)
		labels[row.Label] = true
		missing = missing || slices.ContainsFunc(row.Num, math.IsNaN)
		for i, v := range row.Cat {
			levels[b.Schema.Categorical()[i]+"="+v] = true
		}
	}
	require.Len(t, labels, 2)
	require.True(t, missing)
	for _, column := range b.Schema.Categorical() {
		vocabulary, _ := b.Pipeline.Vocabulary(column)
		for _, level := range vocabulary {
			require.True(t, levels[column+"="+level], "%s=%s", column, level)
		}
	}

	parts := modeltest.Parts(t, o)
	column := parts.Holdout.Numeric(2)
	isMissing := func(r int) bool { return math.IsNaN(column[r]) }
	last := slices.IndexFunc(column, math.IsNaN)
	rows := slices.DeleteFunc(slices.Clone(parts.HoldoutRows), isMissing)[:100]
	rows[98] = last // which no even spacing hits
	late := parts
	late.HoldoutRows = rows
	covering, err := model.New(late)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(covering.Golden, func(g model.Golden) bool {
		return strings.Contains(string(g.Record), `"TotalCharges":null`)
	}))

	parts.HoldoutRows = parts.HoldoutRows[:3]
	small, err := model.New(parts)
	require.NoError(t, err)
	require.Len(t, small.Golden, 3)
}

func TestVerifyRefusesAnotherResult(t *testing.T) {
	for _, tc := range []struct {
		name     string
		change   func(*model.Golden)
		quantity string
	}{
		{"feature", func(g *model.Golden) { g.Features[1] = math.Nextafter(g.Features[1], 9) }, "feature charge"},
		{"missing feature", func(g *model.Golden) { g.Features[0] = math.NaN() }, "feature age_of_<account>"},
		{"too few features", func(g *model.Golden) { g.Features = g.Features[:1] }, "feature charge"},
		{"leaf", func(g *model.Golden) { g.Leaves[2]++ }, "leaf of tree 2"},
		{"margin", func(g *model.Golden) { g.Margin *= 1 + 3e-12 }, "margin"},
		{"margin NaN", func(g *model.Golden) { g.Margin = math.NaN() }, "margin"},
		{"probability", func(g *model.Golden) { g.Probability += 2e-9 }, "probability"},
		{"record", func(g *model.Golden) { g.Record = json.RawMessage(`{"charge":1}`) }, "record"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := modeltest.Bundle(t, tiny())
			at := slices.IndexFunc(b.Golden, func(g model.Golden) bool { return !slices.ContainsFunc(g.Features, math.IsNaN) })
			tc.change(&b.Golden[at])
			var golden *model.GoldenError
			require.ErrorAs(t, b.Verify(), &golden)
			require.Equal(t, at, golden.Row)
			require.Equal(t, tc.quantity, golden.Quantity)
		})
	}
	b := modeltest.Bundle(t, tiny())
	b.Golden[0].Margin *= 1 + 0.5e-12
	b.Golden[0].Probability += 0.5e-9
	require.NoError(t, b.Verify(), "within both tolerances")
	b.Golden = nil
	require.ErrorContains(t, b.Verify(), "no golden rows")
}

// Every byte of the archive is covered: contents by digests, headers and padding by the one encoding.
func TestDecodeRefusesAnyFlippedByte(t *testing.T) {
	data := modeltest.Encoded(t, tiny())
	rng := rand.New(rand.NewPCG(1, 1))
	flip := func(i int) {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << rng.IntN(8)
		_, err := model.Decode(bad)
		require.Error(t, err, "byte %d of %d", i, len(data))
	}
	for i := range 512 { // the first header
		flip(i)
	}
	for range 1500 {
		flip(rng.IntN(len(data)))
	}
	flip(len(data) - 1)
}

func TestDecodeRefuses(t *testing.T) {
	files, err := modeltest.Bundle(t, tiny()).Files()
	require.NoError(t, err)
	good := modeltest.Archive(t, files)
	_, err = model.Decode(good)
	require.NoError(t, err)
	edit := func(change func([]model.File) []model.File) []byte {
		return modeltest.Archive(t, change(slices.Clone(files)))
	}
	for _, tc := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "manifest.json is missing"},
		{"no archive", []byte("hello"), "read archive"},
		{"cut short", good[:len(good)/2], "read archive"},
		{"a part missing", edit(func(f []model.File) []model.File { return slices.Delete(f, 3, 4) }), `want the file "model.txt"`},
		{"last part missing", edit(func(f []model.File) []model.File { return f[:5] }), "golden.json is missing"},
		{"a part twice", edit(func(f []model.File) []model.File { return slices.Insert(f, 2, f[1]) }), `"spec.yaml", want the file "fitted_features.json"`},
		{"an unknown part", edit(func(f []model.File) []model.File { return append(f, model.File{Name: "run.sh"}) }), `"run.sh" after the last`},
		{"another order", edit(func(f []model.File) []model.File { f[1], f[2] = f[2], f[1]; return f }), `part 1 is "fitted_features.json"`},
		{"another part", edit(func(f []model.File) []model.File { f[3].Data = append(f[3].Data, '\n'); return f }), "model.txt: digest"},
		{"another threshold", edit(func(f []model.File) []model.File {
			f[0].Data = bytes.Replace(f[0].Data, []byte(`"threshold": 0.`), []byte(`"threshold": 0.0`), 1)
			return f
		}), "its digest is"},
		{"another format", edit(func(f []model.File) []model.File {
			f[0].Data = bytes.Replace(f[0].Data, []byte(`"format": 1`), []byte(`"format": 2`), 1)
			return f
		}), "format 2, want 1"},
		{"trailing bytes", append(bytes.Clone(good), 0), "headers or padding"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := model.Decode(tc.data)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestNewRefusesPartsThatDoNotFit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*model.Parts)
		want   string
	}{
		{"trees of another pipeline", func(p *model.Parts) { p.Trees = modeltest.Parts(t, modeltest.Options{}).Trees }, "features"},
		{"threshold", func(p *model.Parts) { p.Threshold = 1.5 }, "threshold 1.5"},
		{"threshold NaN", func(p *model.Parts) { p.Threshold = math.NaN() }, "threshold NaN"},
		{"metric", func(p *model.Parts) { p.Metrics["roc_auc"] = math.Inf(1) }, `metric "roc_auc"`},
		{"rows", func(p *model.Parts) { p.Rows.Holdout = -1 }, "negative"},
		{"no golden rows", func(p *model.Parts) { p.HoldoutRows = []int{} }, "0 golden rows"},
		{"baseline of another spec", func(p *model.Parts) {
			p.Baselines.Reference = modeltest.Parts(t, modeltest.Options{}).Baselines.Reference
		}, "reference baseline: the spec has no"},
		{"pipeline of another spec", func(p *model.Parts) {
			p.Spec = p.Spec.Clone()
			p.Spec.Features.Impute = spec.ImputeMedian
		}, "fitted_features.json"},
		{"no trees", func(p *model.Parts) { p.Trees = nil }, "nil"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parts := modeltest.Parts(t, tiny())
			tc.change(&parts)
			_, err := model.New(parts)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func FuzzDecode(f *testing.F) {
	b := modeltest.Bundle(f, tiny())
	data, err := b.Encode()
	require.NoError(f, err)
	f.Add(data)
	f.Add(data[:512])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := model.Decode(data)
		if err != nil {
			return
		}
		again, err := b.Encode()
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, again))
		_ = b.Verify() // may refuse, must not panic
	})
}

func TestDecodeRefusesSealedPartsThatDoNotFit(t *testing.T) {
	files, err := modeltest.Bundle(t, tiny()).Files()
	require.NoError(t, err)
	_, err = model.Decode(modeltest.Seal(t, files))
	require.NoError(t, err)
	other, err := modeltest.Bundle(t, modeltest.Options{}).Files()
	require.NoError(t, err)
	for i, want := range []string{1: "fitted_features.json", 2: "fitted_features.json", 3: "feature", 4: "baseline", 5: "golden row"} {
		if i == 0 {
			continue
		}
		mixed := slices.Clone(files)
		mixed[i] = other[i]
		_, err := model.Decode(modeltest.Seal(t, mixed))
		require.ErrorContains(t, err, want, files[i].Name)
	}
	data := modeltest.Broken(t, tiny())
	b, err := model.Decode(data)
	require.NoError(t, err, "a bundle that lies consistently is for Verify to find")
	var golden *model.GoldenError
	require.ErrorAs(t, b.Verify(), &golden)
	again, err := b.Encode()
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, again), "what was decoded is passed on as it came")
}

// Digests keep FuzzDecode out of the parts; here they are made right after each change.
func FuzzDecodeSealed(f *testing.F) {
	files, err := modeltest.Bundle(f, tiny()).Files()
	require.NoError(f, err)
	for i := 1; i < len(files); i++ {
		f.Add(i, files[i].Data)
	}
	f.Fuzz(func(t *testing.T, part int, data []byte) {
		if part < 1 || part >= len(files) {
			return
		}
		mixed := slices.Clone(files)
		mixed[part].Data = data
		b, err := model.Decode(modeltest.Seal(t, mixed))
		if err != nil {
			return
		}
		if b.Verify() == nil {
			tab := modeltest.Table(t, tiny())
			for _, p := range b.ScoreTable(tab, []int{0, 1, 2}) {
				require.True(t, p >= 0 && p <= 1, "%v", p)
			}
		}
	})
}

func BenchmarkDecodeVerify(b *testing.B) {
	data := modeltest.Encoded(b, modeltest.Options{Trees: 200})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := model.Decode(data)
		require.NoError(b, err)
		require.NoError(b, m.Verify())
	}
}
