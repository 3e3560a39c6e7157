package trainer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/spec"
)

// sharedData returns the path of a file in the shared data folder beside the repository, and false where it is not there.
func sharedData(t testing.TB, name string) (string, bool) {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	require.True(t, ok)
	path := filepath.Join(filepath.Dir(file), "..", "..", "shared", "data", name)
	_, err := os.Stat(path)
	return path, err == nil
}

// telco returns the real file's rows, or generated ones where it is missing, which it logs.
func telco(t testing.TB) (*spec.Spec, *dataset.Schema, *dataset.Table) {
	t.Helper()
	sp := spec.Telco()
	var r io.Reader
	if path, ok := sharedData(t, "Telco-Customer-Churn.csv"); ok {
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		r = f
	} else {
		t.Log("the real Telco file is not here: generated rows instead")
		var b bytes.Buffer
		require.NoError(t, synth.WriteCSV(&b, synth.Config{Rows: 7043, Seed: 1, Regime: synth.Original}))
		r = &b
	}
	sch, err := dataset.NewSchema(sp)
	require.NoError(t, err)
	return sp, sch, load(t, sch, r)
}

func load(t testing.TB, sch *dataset.Schema, r io.Reader) *dataset.Table {
	t.Helper()
	o := dataset.LoadOptions{MaxQuarantined: 0.01}
	o.RequireLabel = true
	table, report, err := dataset.Load(context.Background(), r, sch, o)
	require.NoError(t, err)
	require.Zero(t, report.Quarantined)
	return table
}

func TestTrainOnTelco(t *testing.T) {
	sp, sch, table := telco(t)
	sp.Learner.Trees, sp.Learner.LearningRate = 60, 0.1 // enough for the figures below, and not too much for the race detector
	in := Input{Spec: sp, Schema: sch, Dataset: table, RunID: "r1", DatasetFingerprint: "xxh64:0", Threads: 1}
	res, err := Train(context.Background(), in)
	require.NoError(t, err)
	t.Logf("metrics %v", res.Metrics)
	require.Greater(t, res.Metrics["roc_auc"], 0.82)
	require.Greater(t, res.Metrics["f1_churn"], 0.55)
	require.NoError(t, res.Bundle.Verify())

	t.Run("the same input gives the same bytes whatever the threads", func(t *testing.T) {
		in.Threads = 8
		again, err := Train(context.Background(), in)
		require.NoError(t, err)
		one, err := res.Bundle.Encode()
		require.NoError(t, err)
		other, err := again.Bundle.Encode()
		require.NoError(t, err)
		require.True(t, bytes.Equal(one, other))
		require.Equal(t, res.Holdout, again.Holdout)
	})
	t.Run("the holdout scores as it did", func(t *testing.T) {
		scores, labels, err := res.Bundle.ScoreHoldout(bytes.NewReader(res.Holdout))
		require.NoError(t, err)
		m, err := eval.Evaluate(scores, labels, nil, res.Bundle.Manifest.Threshold)
		require.NoError(t, err)
		require.Equal(t, res.Metrics["f1_churn"], m.F1)
		require.Equal(t, res.Metrics["roc_auc"], m.ROCAUC)
	})
}

// examplesOf makes labelled predictions of a table's rows, with PREDICTIONS sequences from first on.
func examplesOf(table *dataset.Table, rows []int, first uint64) []Example {
	var out []Example
	for k, i := range rows {
		row := table.Schema().NewRow()
		table.Row(i, row)
		row.Num = append([]float64(nil), row.Num...)
		row.Cat = append([]string(nil), row.Cat...)
		out = append(out, Example{PredictionsSequence: first + uint64(k), Row: row})
	}
	return out
}

func TestExamplesSupersedeDatasetRows(t *testing.T) {
	sp, sch, table := telco(t)
	rows := []int{5, 6, 7, 8}
	ex := examplesOf(table, rows, 100)
	for i := range ex {
		ex[i].Row.Label = 1 - ex[i].Row.Label
	}
	newer := examplesOf(table, rows[:1], 200) // the same customer again, later, with the true label
	in := Input{Spec: sp, Schema: sch, Dataset: table, Examples: append(newer, ex...)}
	d := collect(in)
	require.Equal(t, table.Len(), d.table.Len(), "each entity once")
	require.Equal(t, 4, d.superseded)
	labels := map[string]float64{}
	for i := range d.table.Len() {
		labels[d.table.ID(i)] = d.table.Label(i)
	}
	require.Equal(t, table.Label(5), labels[table.ID(5)], "the newest prediction counts")
	for _, r := range rows[1:] {
		require.Equal(t, 1-table.Label(r), labels[table.ID(r)])
	}
	require.False(t, d.drift)

	in.DriftSince = 150
	require.False(t, collect(in).drift, "one new entity is fewer than min_new_rows")
	in.Spec = sp.Clone()
	in.Spec.Retrain.MinNewRows = 1
	require.False(t, collect(in).drift, "one row can't be trained on, validated and held out")
	in.Examples = examplesOf(table, manyRows(300), 200)
	d = collect(in)
	require.True(t, d.drift)
	require.Equal(t, 300, len(d.fresh[training])+len(d.fresh[validation])+len(d.fresh[holdout]))
}

func manyRows(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

func TestDriftWithAFewRowsIsAnOrdinaryRun(t *testing.T) {
	sp, sch, table := telco(t)
	sp.Retrain.MinNewRows, sp.Learner.Trees = 0, 20
	for _, n := range []int{0, 1, 3, 10} {
		res, err := Train(context.Background(), Input{Spec: sp, Schema: sch, Dataset: table, Examples: examplesOf(table, manyRows(n), 200), DriftSince: 150})
		require.NoError(t, err, "%d rows", n)
		require.Equal(t, "all", res.Params["regime"], "%d rows", n)
	}
}

func TestSplitKeepsAnEntityOnItsSide(t *testing.T) {
	s := spec.Telco().Split
	var counts [3]int
	for i := range 20000 {
		id := fmt.Sprintf("customer-%d", i)
		p := partOf(id, s)
		require.Equal(t, p, partOf(id, s))
		counts[p]++
	}
	require.InDelta(t, 20000*s.Holdout, counts[holdout], 300)
	require.InDelta(t, 20000*(1-s.Holdout)*s.Validation, counts[validation], 300)
}

func TestFreshRowsWeighAsMuchAsOlderOnes(t *testing.T) {
	s := gather([]int{1, 2, 3, 4, 5, 6}, []int{7, 8})
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8}, s.rows)
	require.Equal(t, []float64{1, 1, 1, 1, 1, 1, 3, 3}, s.weight)
	require.Nil(t, gather([]int{1, 2}, nil).weight)
}

func TestTrainSaysWhyDataIsUnusable(t *testing.T) {
	sp, sch, table := telco(t)
	one := dataset.NewTable(sch)
	row := sch.NewRow()
	for i := range table.Len() {
		if table.Row(i, row); row.Label == 0 {
			one.Append(row)
		}
	}
	_, err := Train(context.Background(), Input{Spec: sp, Schema: sch, Dataset: one})
	var step *StepError
	require.ErrorAs(t, err, &step)
	require.Equal(t, "split", step.Step)
	require.ErrorContains(t, err, "both classes are needed")
}
