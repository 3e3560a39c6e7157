package trainer

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// Example is a labelled prediction as training data.
type Example struct {
	// PredictionsSequence orders examples: of one entity the newest counts.
	PredictionsSequence uint64
	// Row is the record with its observed label.
	Row *dataset.Row
}

// Input is everything that a run is made of. The same input gives the same bytes, whatever Threads.
type Input struct {
	Spec   *spec.Spec
	Schema *dataset.Schema
	// Dataset holds the rows of the spec's dataset; it may be empty.
	Dataset *dataset.Table
	// Examples are the labelled predictions up to the run's cut-off, in any order.
	Examples []Example
	// DriftSince is the PREDICTIONS sequence after which the new regime begins; 0 for a run without drift.
	DriftSince         uint64
	RunID              string
	DatasetFingerprint string
	// Threads bounds the goroutines; 0 means all processors.
	Threads int
	// OnTree may be nil; an error it returns ends the training.
	OnTree func(gbdt.Progress) error
}

// Result is what a run made.
type Result struct {
	Bundle *model.Bundle
	// Holdout is holdout.csv: the raw records and labels that decide, by column name.
	Holdout []byte
	// Evidence is the tables and pictures of package report.
	Evidence []model.File
	Metrics  map[string]float64
	Params   map[string]string
}

// StepError says in which step of the recipe the data made a model impossible. It is final for the same input.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// Train runs the recipe: split by entity, fit features and trees, choose the number of trees, the calibration and the threshold on rows that
// the trees which score them did not see (see fitOnFolds and, for learner.folds of 0, fitOnValidation), evaluate on the holdout, and bundle.
//
// A labelled prediction supersedes the dataset row of the same entity. In a run for drift that has at least MinNewRows labelled entities
// predicted after DriftSince, those rows weigh as much as all older rows together in training, validation, calibration and threshold, the
// holdout is the hash share of those rows alone, their distribution is the drift reference, and the metrics on the older holdout stand beside
// with the prefix older_. With fewer, or with a class missing in one of the parts, the run is an ordinary one over all rows.
//
// An error is a *StepError if the data is to blame; a context error otherwise.
func Train(ctx context.Context, in Input) (*Result, error) {
	d := collect(in)
	testRows := d.older[holdout]
	if d.drift {
		testRows = d.fresh[holdout]
	}
	f, err := d.fit(ctx, in, testRows)
	if err != nil {
		return nil, err
	}
	test := scored{rows: testRows}
	if test.score, test.label, err = f.score(d.table, testRows); err != nil {
		return nil, err
	}
	metrics, err := f.metrics(in.Spec, test)
	if err != nil {
		return nil, &StepError{"evaluate", err}
	}
	if d.drift {
		addOlder(metrics, f, d)
	}
	bundle, err := makeBundle(in, d, f, metrics, test)
	if err != nil {
		return nil, &StepError{"bundle", err}
	}
	evidence, err := f.evidence(ctx, in, d.table, test)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &StepError{"evidence", err}
	}
	var csv bytes.Buffer
	if err := d.table.WriteCSV(&csv, testRows); err != nil {
		return nil, &StepError{"holdout", err}
	}
	return &Result{Bundle: bundle, Holdout: csv.Bytes(), Evidence: evidence, Metrics: metrics, Params: params(in, d, f)}, nil
}

// metrics returns the figures of the holdout, and of the folds where there are any.
func (f *fitted) metrics(sp *spec.Spec, test scored) (map[string]float64, error) {
	figures, err := eval.Evaluate(test.score, test.label, nil, f.threshold)
	if err != nil {
		return nil, err
	}
	out := figures.Map()
	out["trees"] = float64(f.trees.Trees())
	trainLoss, validLoss := "train_log_loss", "validation_log_loss"
	if sp.Learner.PositiveWeight != 1 { // another scale than log_loss
		trainLoss, validLoss = "train_weighted_log_loss", "validation_weighted_log_loss"
	}
	out[trainLoss], out[validLoss] = f.trainLoss, f.validLoss
	if err := addDetail(out, sp, figures, test); err != nil {
		return nil, err
	}
	if f.figures != nil {
		maps.Copy(out, f.figures.metrics())
	}
	return out, nil
}

// fit learns from all rows that are not held out.
func (d *data) fit(ctx context.Context, in Input, testRows []int) (*fitted, error) {
	folds := in.Spec.Learner.Folds > 0
	train, valid := gather(d.older[training], d.fresh[training]), gather(d.older[validation], d.fresh[validation])
	if folds {
		train = gather(joined(d.older[training], d.older[validation]), joined(d.fresh[training], d.fresh[validation]))
	}
	for _, p := range []struct {
		name string
		rows []int
	}{{"training", train.rows}, {"validation", valid.rows}, {"holdout", testRows}} {
		if folds && p.name == "validation" {
			continue
		}
		if pos, neg := labelled(d.table, p.rows); pos == 0 || neg == 0 {
			return nil, &StepError{"split", fmt.Errorf("the %s part has %d rows, %d positive and %d negative: both classes are needed",
				p.name, len(p.rows), pos, neg)}
		}
	}
	if folds {
		return fitOnFolds(ctx, in, d.table, train)
	}
	return fitOnValidation(ctx, in, d.table, train, valid)
}

// data is the dataset and the examples in one table, split.
type data struct {
	table        *dataset.Table
	older, fresh rowsByPart
	// drift says that the fresh rows are a regime of their own; otherwise they stand in older.
	drift      bool
	examples   int // entities with an example
	superseded int // dataset rows that an example replaced
}

// collect joins the dataset with the newest example of each entity.
func collect(in Input) data {
	newest := make(map[string]int, len(in.Examples))
	for i, e := range in.Examples {
		if j, ok := newest[e.Row.ID]; !ok || e.PredictionsSequence > in.Examples[j].PredictionsSequence {
			newest[e.Row.ID] = i
		}
	}
	d := data{table: dataset.NewTable(in.Schema), examples: len(newest), drift: separable(in, newest)}
	row := in.Schema.NewRow()
	for i := range in.Dataset.Len() {
		in.Dataset.Row(i, row)
		if _, ok := newest[row.ID]; ok {
			d.superseded++
			continue
		}
		d.older.add(d.append(row), row.ID, in.Spec.Split)
	}
	for i, e := range in.Examples { // in order of arrival, so that the table does not depend on map order
		if newest[e.Row.ID] != i {
			continue
		}
		to := &d.older
		if d.drift && e.PredictionsSequence > in.DriftSince {
			to = &d.fresh
		}
		to.add(d.append(e.Row), e.Row.ID, in.Spec.Split)
	}
	return d
}

// separable reports whether the rows predicted after DriftSince can be a regime of their own: there are MinNewRows of them, and both classes in
// each part; with folds training and validation are one.
func separable(in Input, newest map[string]int) bool {
	var seen [3][2]bool
	n := 0
	for id, i := range newest {
		e := in.Examples[i]
		if in.DriftSince == 0 || e.PredictionsSequence <= in.DriftSince {
			continue
		}
		n++
		seen[partOf(id, in.Spec.Split)][int(e.Row.Label)] = true
	}
	if in.Spec.Learner.Folds > 0 {
		for label, there := range seen[validation] {
			seen[training][label] = seen[training][label] || there
		}
		seen[validation] = seen[training]
	}
	all := [2]bool{true, true}
	return n >= in.Spec.Retrain.MinNewRows && seen == [3][2]bool{all, all, all}
}

func (d *data) append(row *dataset.Row) int {
	d.table.Append(row)
	return d.table.Len() - 1
}

// addOlder adds the figures on the older rows' holdout, where they can be computed, as older_ metrics. They decide nothing.
func addOlder(metrics map[string]float64, f *fitted, d data) {
	score, label, err := f.score(d.table, d.older[holdout])
	if err != nil {
		return
	}
	figures, err := eval.Evaluate(score, label, nil, f.threshold)
	if err != nil {
		return
	}
	for name, v := range figures.Map() {
		metrics["older_"+name] = v
	}
}

// references fits the drift reference of every raw column on rows.
func references(in Input, t *dataset.Table, rows []int, scores []float64, source string) (baseline.Baseline, error) {
	b := baseline.Baseline{Rows: int64(len(rows)), Period: baseline.Period{Source: source}}
	for c, name := range in.Schema.Numeric() {
		all := t.Numeric(c)
		values := make([]float64, len(rows))
		for i, r := range rows {
			values[i] = all[r]
		}
		ref, err := baseline.FitNumeric(name, values, in.Spec.Drift.Bins)
		if err != nil {
			return b, err
		}
		b.Columns = append(b.Columns, ref)
	}
	for c, name := range in.Schema.Categorical() {
		values := make([]string, len(rows))
		for i, r := range rows {
			values[i] = t.Category(c, r)
		}
		ref, err := baseline.FitCategorical(name, values, maxLevels)
		if err != nil {
			return b, err
		}
		b.Columns = append(b.Columns, ref)
	}
	var err error
	b.Score, err = baseline.FitScore(scores, in.Spec.Drift.Bins)
	return b, err
}

// maxLevels bounds the bins of a categorical column's drift reference.
const maxLevels = 50
