package imported_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/imported"
)

// files are a logged model's, by path.
type files map[string]string

// source returns the files as a Source.
func (f files) source() imported.Source {
	return imported.Source{Name: "churn", List: slices.Sorted(maps.Keys(f)), Files: func(path string) ([]byte, error) {
		text, ok := f[path]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}}
}

// with returns a copy in which a text of a file is replaced.
func (f files) with(t testing.TB, path, old, new string) files {
	t.Helper()
	require.Contains(t, f[path], old, path)
	c := maps.Clone(f)
	c[path] = strings.ReplaceAll(c[path], old, new)
	return c
}

// without returns a copy that lacks a file.
func (f files) without(path string) files {
	c := maps.Clone(f)
	delete(c, path)
	return c
}

// folder reads a folder of testdata.
func folder(t testing.TB, name string) files {
	t.Helper()
	root := filepath.Join("testdata", filepath.FromSlash(name))
	f := files{}
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(root, p))
		f[p] = string(data)
		return err
	}))
	require.NotEmpty(t, f)
	return f
}

// scores is what XGBoost predicts for records.
type scores struct {
	Records    []json.RawMessage
	Prediction []float64
}

func scoresOf(t testing.TB, name string) scores {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "xgboost", name+".scores.json"))
	require.NoError(t, err)
	var s scores
	require.NoError(t, json.Unmarshal(data, &s))
	require.Len(t, s.Prediction, len(s.Records))
	return s
}

// bundleOf imports the files, and hands back what an instance would load.
func bundleOf(t testing.TB, s imported.Source) (*model.Bundle, imported.Info) {
	t.Helper()
	b, info, err := imported.FromFiles(s)
	require.NoError(t, err)
	data, err := b.Encode()
	require.NoError(t, err)
	b, err = model.Decode(data)
	require.NoError(t, err)
	require.NoError(t, b.Verify())
	return b, info
}

// score returns the bundle's prediction for a record.
func score(t testing.TB, b *model.Bundle, record string) model.Prediction {
	t.Helper()
	row := b.Schema.NewRow()
	_, err := b.Schema.DecodeJSON([]byte(record), row, dataset.DecodeOptions{})
	require.NoError(t, err, record)
	return b.NewScorer().Score(row)
}

func TestXGBoostScoresAreTheMakers(t *testing.T) {
	for _, test := range []struct {
		name      string
		threshold float64
		words     []string // of the column plan
	}{
		{"categories", 0.42, []string{"Fiber optic", "DSL", "None at all", "10 Mbit"}},
		{"codes", 0.5, nil},
		{"early", 0.5, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, info := bundleOf(t, folder(t, "xgboost/"+test.name).source())
			require.Equal(t, imported.FormatXGBoost, info.Format)
			require.Equal(t, "model.json", info.File)
			require.Equal(t, 12, info.Examples)
			require.Equal(t, test.threshold, info.Threshold)
			require.Equal(t, test.threshold, b.Manifest.Threshold)
			require.Equal(t, imported.FormatXGBoost, b.Manifest.Imported)
			require.Equal(t, "churn", b.Manifest.Model)
			require.False(t, b.HasBaselines())
			for _, c := range info.Columns {
				require.Equal(t, c.Name != "usage", c.Required)
				if c.Name == "plan" {
					require.Equal(t, test.words, c.Categories)
				}
			}
			s := scoresOf(t, test.name)
			for i, record := range s.Records {
				p := score(t, b, string(record))
				require.InDelta(t, s.Prediction[i], p.Probability, 1e-6, "record %d %s", i, record)
				require.Equal(t, p.Probability >= test.threshold, p.Positive)
				require.Equal(t, map[bool]string{true: "1", false: "0"}[p.Positive], p.Label)
			}
		})
	}
}

func TestValuesAsTheLibraryTakesThem(t *testing.T) {
	b, _ := bundleOf(t, folder(t, "xgboost/categories").source())
	full := `{"monthly": 70, "plan": "DSL", "tenure months": 3, "paperless": true, "region": 101, "usage": 1.5}`
	want := score(t, b, full)
	for _, test := range []struct{ name, record, equal string }{
		{"order of keys and a column more", `{"usage": 1.5, "region": 101, "x": "y", "paperless": true, "tenure months": 3, "plan": "DSL", "monthly": 70}`, full},
		{"numbers as text", `{"monthly": "70", "plan": " DSL ", "tenure months": "3", "paperless": "True", "region": "101", "usage": "1.5"}`, full},
		{"true as 1, whole numbers as fractions", `{"monthly": 70.0, "plan": "DSL", "tenure months": 3.0, "paperless": 1, "region": 101.0, "usage": 1.5}`, full},
		{"optional column absent", `{"monthly": 70, "plan": "DSL", "tenure months": 3, "paperless": true, "region": 101}`,
			`{"monthly": 70, "plan": "DSL", "tenure months": 3, "paperless": true, "region": 101, "usage": null}`},
		{"NaN as text", `{"monthly": "NaN", "plan": "NaN", "tenure months": 3, "paperless": true, "region": 101, "usage": 1.5}`,
			`{"monthly": null, "plan": null, "tenure months": 3, "paperless": true, "region": 101, "usage": 1.5}`},
		{"a category never seen is missing", `{"monthly": 70, "plan": "dsl", "tenure months": 3, "paperless": true, "region": 99, "usage": 1.5}`,
			`{"monthly": 70, "plan": null, "tenure months": 3, "paperless": true, "region": null, "usage": 1.5}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			want, got := score(t, b, test.equal), score(t, b, test.record)
			require.Equal(t, strings.Contains(test.name, "never seen"), got.Unseen)
			got.Unseen = want.Unseen
			require.Equal(t, want, got)
		})
	}
	require.NotEqual(t, want, score(t, b, strings.Replace(full, "DSL", "Fiber optic", 1)))
	for _, test := range []struct{ name, old, new, column, rule string }{
		{"missing column", `"tenure months": 3, `, ``, "tenure months", dataset.RuleMissingColumn},
		{"a word for a number", `"monthly": 70`, `"monthly": "much"`, "monthly", dataset.RuleType},
		{"a fraction for a whole number", `"tenure months": 3`, `"tenure months": 3.5`, "tenure months", dataset.RuleType},
		{"a word for a boolean", `"paperless": true`, `"paperless": "perhaps"`, "paperless", dataset.RuleType},
		{"two for a boolean", `"paperless": true`, `"paperless": 2`, "paperless", dataset.RuleType},
		{"a boolean for a number", `"monthly": 70`, `"monthly": true`, "monthly", dataset.RuleType},
	} {
		t.Run(test.name, func(t *testing.T) {
			record := strings.Replace(full, test.old, test.new, 1)
			require.NotEqual(t, full, record)
			_, err := b.Schema.DecodeJSON([]byte(record), b.Schema.NewRow(), dataset.DecodeOptions{})
			var faults *dataset.RecordError
			require.ErrorAs(t, err, &faults)
			require.Len(t, faults.Faults, 1)
			require.Equal(t, test.column, faults.Faults[0].Column)
			require.Equal(t, test.rule, faults.Faults[0].Rule)
		})
	}
}

// TestGoldenRowsAreTheExample holds the golden rows to the records that were logged, and to an instance that computes something else.
func TestGoldenRowsAreTheExample(t *testing.T) {
	b, info := bundleOf(t, folder(t, "xgboost/categories").source())
	require.Len(t, b.Golden, info.Examples)
	s := scoresOf(t, "categories") // whose first records are the example
	for i, g := range b.Golden {
		require.InDelta(t, s.Prediction[i], g.Probability, 1e-6)
	}
	broken := *b
	broken.Golden = slices.Clone(b.Golden)
	broken.Golden[3].Probability += 1e-6
	var golden *model.GoldenError
	require.ErrorAs(t, broken.Verify(), &golden)
}

func TestSameFilesSameBytes(t *testing.T) {
	encode := func() []byte {
		b, _ := bundleOf(t, folder(t, "xgboost/categories").source())
		data, err := b.Encode()
		require.NoError(t, err)
		return data
	}
	require.Equal(t, encode(), encode())
}

// TestHoldoutIsScored reads a CSV with labels by the names that gates give.
func TestHoldoutIsScored(t *testing.T) {
	s := folder(t, "xgboost/early").source()
	s.Name, s.Target, s.Positive = "Kündigung / Kunde?", "churned", "yes"
	b, _ := bundleOf(t, s)
	require.Equal(t, "Kündigung / Kunde?", b.Manifest.Model)
	require.Equal(t, "imported", b.Spec.Name)
	csv := "churned,monthly,tenure months,paperless,comment\nyes,70,3,True,a\nno,,20,False,b\n"
	got, label, err := b.ScoreHoldout(strings.NewReader(csv))
	require.NoError(t, err)
	require.Equal(t, []float64{1, 0}, label)
	require.Equal(t, score(t, b, `{"monthly": 70, "tenure months": 3, "paperless": true}`).Probability, got[0])
	require.Equal(t, score(t, b, `{"monthly": null, "tenure months": 20, "paperless": false}`).Probability, got[1])
}

// TestHoldoutGivesFigures compares the figures in the bundle with those of XGBoost's own predictions.
func TestHoldoutGivesFigures(t *testing.T) {
	f := folder(t, "xgboost/early")
	s := scoresOf(t, "early")
	csv, label := "target,monthly,tenure months,paperless,usage\n", []float64{}
	for i, record := range s.Records {
		var r struct {
			Monthly   *float64
			Tenure    int `json:"tenure months"`
			Paperless bool
			Usage     *float64
		}
		require.NoError(t, json.Unmarshal(record, &r))
		label = append(label, float64(i%3/2))
		csv += fmt.Sprintf("%d,%s,%d,%v,%s\n", i%3/2, cell(r.Monthly), r.Tenure, r.Paperless, cell(r.Usage))
	}
	f["holdout.csv"] = csv
	b, _ := bundleOf(t, f.source())
	want, err := eval.Evaluate(s.Prediction, label, nil, 0.5)
	require.NoError(t, err)
	require.Equal(t, len(label), b.Manifest.Rows.Holdout)
	require.InDelta(t, want.F1, b.Manifest.Metrics["f1_churn"], 1e-12)
	require.InDelta(t, want.ROCAUC, b.Manifest.Metrics["roc_auc"], 1e-12)
	require.InDelta(t, want.LogLoss, b.Manifest.Metrics["log_loss"], 1e-6)
	require.NotNil(t, b.Spec.Drift.Performance)
	require.Empty(t, b.Spec.Drift.Monitors)
	f["holdout.csv"] = "target,monthly\n1,2\n"
	b, _ = bundleOf(t, f.source())
	require.Empty(t, b.Manifest.Metrics, "a holdout of other columns says nothing")
	require.Nil(t, b.Spec.Drift.Performance)
}

// cell is a number in a CSV file, nothing where it is missing.
func cell(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}

func TestErrorOfTheStoreIsNoVerdict(t *testing.T) {
	f := folder(t, "xgboost/codes")
	f["holdout.csv"] = "x"
	s := f.source()
	away := errors.New("store is away")
	for _, path := range []string{"MLmodel", "model.json", "input_example.json", "holdout.csv"} {
		read := s.Files
		c := s
		c.Files = func(p string) ([]byte, error) {
			if p == path {
				return nil, away
			}
			return read(p)
		}
		_, _, err := imported.FromFiles(c)
		require.ErrorIs(t, err, away)
		var unservable *imported.Unservable
		require.False(t, errors.As(err, &unservable))
	}
}
