// Package report turns scores of rows that a model never saw into the tables and pictures of a run: where it is worse, how far its
// probabilities can be believed, what acting on them brings, and what they rest on. The same input gives the same bytes: no file
// holds a time, and pictures are SVG text.
package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/eval"
)

// The files of a report.
const (
	SlicesFile         = "slices.json"            // metrics by level of each categorical column
	CalibrationFile    = "calibration_table.json" // scores against observed shares; calibration.json is the calibrator itself
	CalibrationPlot    = "calibration.svg"
	LiftFile           = "lift.json" // gain and lift by share of the rows contacted
	LiftPlot           = "lift.svg"
	ROCFile            = "roc.json" // ROC and precision-recall curves
	ROCPlot            = "roc.svg"
	ImportanceFile     = "importance.json" // of features: gain, splits, permutation
	ImportancePlot     = "importance.svg"
	CrossValidatedFile = "cross_validation.json" // only of a run with folds
)

const (
	calibrationBins = 10
	liftBins        = 20
	curvePoints     = 200
	leastGap        = 0.005 // between two points of the calibration plot, of its width
)

// Rows are scored rows that the trees which scored them never saw.
type Rows struct {
	// Name is what the files call them: "holdout" or "out_of_fold".
	Name    string
	Score   []float64 // published probabilities
	Label   []float64
	Weight  []float64 // nil = 1 each
	Columns []eval.Column
}

// Feature is how much a model uses one feature, or the features of one column.
type Feature struct {
	Name   string  `json:"name"`
	Gain   float64 `json:"gain"`   // total, of the splits on it
	Splits float64 `json:"splits"` // number
	// Permutation is the loss in ROC-AUC on holdout rows when its values are shuffled.
	Permutation eval.Importance `json:"permutation"`
}

// Input is what a report is made of. Rows holds one kind of rows or more, the holdout first.
type Input struct {
	Rows      []Rows
	Threshold float64
	Features  []Feature
	// CrossValidation is written as it is; nil leaves the file out.
	CrossValidation any
}

// Files returns the report, in a fixed order. It is an error if the first rows have a single class or scores are no probabilities; other rows
// that have a single class are left out of the curves. It ends early with ctx.
func Files(ctx context.Context, in Input) ([]model.File, error) {
	if len(in.Rows) == 0 {
		return nil, fmt.Errorf("report: no rows")
	}
	r := &report{in: in}
	for _, step := range []struct {
		name string
		make func() error
	}{
		{SlicesFile, r.slices}, {CalibrationFile, r.calibration}, {LiftFile, r.lift}, {ROCFile, r.curves}, {ImportanceFile, r.importance},
		{CrossValidatedFile, r.crossValidation},
	} {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := step.make(); err != nil {
			return nil, fmt.Errorf("report: %s: %w", step.name, err)
		}
	}
	return r.files, nil
}

// report collects files.
type report struct {
	in    Input
	files []model.File
}

func (r *report) json(name string, v any) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	r.files = append(r.files, model.File{Name: name, Data: out.Bytes()})
	return nil
}

// each computes a table of every kind of rows.
func each[T any](rows []Rows, table func(Rows) (T, error)) (map[string]T, error) {
	out := make(map[string]T, len(rows))
	for i, set := range rows {
		t, err := table(set)
		if err != nil && i > 0 && singleClass(set.Label) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", set.Name, err)
		}
		out[set.Name] = t
	}
	return out, nil
}

func singleClass(label []float64) bool {
	for _, y := range label {
		if y != label[0] {
			return false
		}
	}
	return true
}

func (r *report) slices() error {
	tables, err := each(r.in.Rows, func(s Rows) (eval.Slices, error) {
		return eval.DefaultSliceConfig(r.in.Threshold).Slices(s.Columns, s.Score, s.Label, s.Weight)
	})
	if err != nil {
		return err
	}
	return r.json(SlicesFile, tables)
}

func (r *report) calibration() error {
	tables, err := each(r.in.Rows, func(s Rows) (eval.Calibration, error) {
		return eval.CalibrationTable(s.Score, s.Label, s.Weight, calibrationBins, eval.EqualCount)
	})
	if err != nil {
		return err
	}
	if err := r.json(CalibrationFile, tables); err != nil {
		return err
	}
	drawn, err := each(r.in.Rows, func(s Rows) (eval.Calibration, error) { return separated(s, tables[s.Name]) })
	if err != nil {
		return err
	}
	return r.plot(CalibrationPlot, func() ([]byte, error) { return calibrationPlot(r.in.Rows, tables, drawn) })
}

// separated returns the table with as many bins as leave their mean scores apart, by leastGap of the greatest at least. Scores of few distinct
// values, as of an isotonic curve, would else be drawn as a line up and down between points of one place.
func separated(s Rows, table eval.Calibration) (eval.Calibration, error) {
	var err error
	for bins := calibrationBins - 1; bins > 0 && crowded(table.Bins); bins-- {
		if table, err = eval.CalibrationTable(s.Score, s.Label, s.Weight, bins, eval.EqualCount); err != nil {
			return table, err
		}
	}
	return table, nil
}

func crowded(bins []eval.CalibrationBin) bool {
	for i := range bins {
		if i > 0 && bins[i].Score-bins[i-1].Score < leastGap*bins[len(bins)-1].Score {
			return true
		}
	}
	return false
}

func (r *report) lift() error {
	tables, err := each(r.in.Rows, func(s Rows) ([]eval.GainBin, error) {
		return eval.Gains(s.Score, s.Label, s.Weight, liftBins)
	})
	if err != nil {
		return err
	}
	if err := r.json(LiftFile, tables); err != nil {
		return err
	}
	return r.plot(LiftPlot, func() ([]byte, error) { return liftPlot(r.in.Rows, tables) })
}

// curves are what a threshold can be chosen on.
type curves struct {
	AUC eval.AUCEstimate `json:"roc_auc"`
	ROC []eval.ROCPoint  `json:"roc"`
	PR  []eval.PRPoint   `json:"precision_recall"`
}

func (r *report) curves() error {
	tables, err := each(r.in.Rows, func(s Rows) (c curves, err error) {
		if c.AUC, err = eval.DeLong(s.Score, s.Label, s.Weight); err != nil {
			return c, err
		}
		if c.ROC, err = eval.ROCCurve(s.Score, s.Label, s.Weight, curvePoints); err != nil {
			return c, err
		}
		c.PR, err = eval.PRCurve(s.Score, s.Label, s.Weight, curvePoints)
		return c, err
	})
	if err != nil {
		return err
	}
	if err := r.json(ROCFile, tables); err != nil {
		return err
	}
	return r.plot(ROCPlot, func() ([]byte, error) { return rocPlot(r.in.Rows, tables) })
}

func (r *report) importance() error {
	if err := r.json(ImportanceFile, r.in.Features); err != nil {
		return err
	}
	return r.plot(ImportancePlot, func() ([]byte, error) { return importancePlot(r.in.Features) })
}

func (r *report) crossValidation() error {
	if r.in.CrossValidation == nil {
		return nil
	}
	return r.json(CrossValidatedFile, r.in.CrossValidation)
}

func (r *report) plot(name string, draw func() ([]byte, error)) error {
	data, err := draw()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.files = append(r.files, model.File{Name: name, Data: data})
	return nil
}
