package model_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/imported"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// importedFiles are the parts of a bundle whose trees XGBoost trained.
func importedFiles(t testing.TB) []model.File {
	t.Helper()
	root := filepath.Join("imported", "testdata", "xgboost", "early")
	b, _, err := imported.FromFiles(imported.Source{Name: "a name", List: []string{"MLmodel", "model.json", "input_example.json"},
		Files: func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(root, path)) }})
	require.NoError(t, err)
	files, err := b.Files()
	require.NoError(t, err)
	return files
}

// manifest returns the files with a changed manifest, sealed.
func manifest(t testing.TB, files []model.File, change func(*model.Manifest)) []byte {
	t.Helper()
	var m model.Manifest
	require.NoError(t, json.Unmarshal(files[0].Data, &m))
	change(&m)
	data, err := json.Marshal(m)
	require.NoError(t, err)
	out := slices.Clone(files)
	out[0].Data = data
	return modeltest.Seal(t, out)
}

func TestImportedBundleHasNoBaselines(t *testing.T) {
	files := importedFiles(t)
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	require.Equal(t, []string{model.ManifestFile, model.SpecFile, model.FeaturesFile, model.TreesFile, model.GoldenFile}, names)
	data := manifest(t, files, func(*model.Manifest) {})
	b, err := model.Decode(data)
	require.NoError(t, err)
	require.NoError(t, b.Verify())
	require.False(t, b.HasBaselines())
	require.True(t, b.Pipeline.IsPassthrough())
	again, err := b.Encode()
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, again))
	trained, err := modeltest.Bundle(t, tiny()).Files()
	require.NoError(t, err)
	require.NotContains(t, string(trained[0].Data), "imported", "manifests of models trained here keep their bytes")
}

// TestImportedIsNoWayAroundTheChecks holds bundles of both kinds to their own rules.
func TestImportedIsNoWayAroundTheChecks(t *testing.T) {
	from := importedFiles(t)
	trained, err := modeltest.Bundle(t, tiny()).Files()
	require.NoError(t, err)
	at := slices.IndexFunc(trained, func(f model.File) bool { return f.Name == model.BaselineFile })
	bare := slices.Delete(slices.Clone(trained), at, at+1)
	keep := func(*model.Manifest) {}
	mark := func(m *model.Manifest) { m.Imported = imported.FormatXGBoost }
	for _, tc := range []struct {
		name   string
		files  []model.File
		change func(*model.Manifest)
		want   string
	}{
		{"trained without baselines", bare, keep, "baseline.json: an imported model has none, every other one"},
		{"trained, marked as imported", trained, mark, "baseline.json: an imported model has none"},
		{"trained without baselines, marked as imported", bare, mark, "fitted_features.json: parse features"},
		{"imported with baselines", slices.Insert(slices.Clone(from), 4, trained[at]), keep, "baseline.json: an imported model has none"},
		{"imported without its mark", from, func(m *model.Manifest) { m.Imported = "" }, "baseline.json: an imported model has none, every other one"},
		{"no name", from, func(m *model.Manifest) { m.Model = "" }, "not a text"},
		{"a name that the spec could have", from, func(m *model.Manifest) { m.Model = "churn" }, `the spec's name is "imported"`},
		{"no golden rows", from[:4], keep, "golden.json is missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := model.Decode(manifest(t, tc.files, tc.change))
			require.ErrorContains(t, err, tc.want)
		})
	}
	for _, tc := range []struct {
		name   string
		change func(*model.Parts)
		want   string
	}{
		{"fitted pipeline", func(p *model.Parts) { p.Imported, p.Model = imported.FormatXGBoost, p.Spec.Name }, "a passthrough pipeline belongs to an imported model"},
		{"calibration", func(p *model.Parts) {
			p.Imported, p.Model = imported.FormatXGBoost, p.Spec.Name
			p.Spec = p.Spec.Clone()
			p.Spec.Calibration = spec.CalibrationSigmoid
		}, "passthrough"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parts := modeltest.Parts(t, tiny())
			tc.change(&parts)
			_, err := model.New(parts)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func FuzzDecodeImported(f *testing.F) {
	files := importedFiles(f)
	for i := 1; i < len(files); i++ {
		f.Add(i, files[i].Data)
	}
	f.Fuzz(func(t *testing.T, part int, data []byte) {
		if part < 1 || part >= len(files) {
			return
		}
		mixed := slices.Clone(files)
		mixed[part].Data = data
		if b, err := model.Decode(modeltest.Seal(t, mixed)); err == nil {
			_ = b.Verify() // may refuse, must not panic
		}
	})
}
