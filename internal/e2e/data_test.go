package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// writeSpec writes the built-in spec with a debounce that a test can wait for, and returns its path.
func writeSpec(t *testing.T, dir string) string {
	t.Helper()
	s := spec.Telco().Clone()
	s.Retrain.Debounce = 500 * time.Millisecond
	s.Learner.Trees = 60
	raw, err := s.Marshal()
	require.NoError(t, err)
	path := filepath.Join(dir, "spec.yaml")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	return path
}

// writeData puts generated customers in the place of a dataset, at once, as an operator does with a new export.
func writeData(t *testing.T, path string, c synth.Config) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, synth.WriteCSV(&b, c))
	next := path + ".next"
	require.NoError(t, os.WriteFile(next, b.Bytes(), 0o600))
	require.NoError(t, os.Rename(next, path))
}

// customer is a record to ask for, and what became of it.
type customer struct {
	id      string
	record  []byte
	outcome string
}

// customers returns generated ones, which are in no dataset.
func customers(t *testing.T, n int) []customer {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, synth.WriteCSV(&b, synth.Config{Rows: n, Seed: 77, Regime: synth.Original, IDPrefix: "live-"}))
	h, err := dataset.NewSchema(spec.Telco())
	require.NoError(t, err)
	rd, err := dataset.NewReader(&b, h, dataset.ReaderOptions{RequireLabel: true})
	require.NoError(t, err)
	var all []customer
	for {
		row := h.NewRow()
		err := rd.Next(row)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		c := customer{id: row.ID, record: h.AppendJSON(nil, row, false), outcome: h.Negative()}
		if row.Label == 1 {
			c.outcome = h.Positive()
		}
		all = append(all, c)
	}
}
