package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"telco-churn-mlops/bench/measure"
)

// rowSection scores one row after another, against leaves in the same process.
func rowSection(ctx context.Context, b *bench) ([]row, error) {
	file, _, err := b.telco()
	if err != nil {
		return nil, err
	}
	train, err := b.coded(b.sizes.slow, codedColumns, seedTrain)
	if err != nil {
		return nil, err
	}
	q := request{Task: "row", File: file, Train: train, Threads: 1, Repeat: b.sizes.rounds, Seconds: b.sizes.seconds,
		Trees: b.sizes.telcoTrees, Bins: 255, RowsInLeaf: 20, Rate: 0.1, L2: 1}
	samples, err := b.take(ctx, "Score one row", 1, true, entrant{b.ours, q})
	if err != nil {
		return nil, err
	}
	got := samples[0][0]
	side := func(name, key string) measurement {
		return measurement{side: name, value: measure.Summarize(got.Series[key]), others: got.others}
	}
	var rows []row
	for _, shape := range []struct{ key, name string }{{"shallow", "depth 3 on the Telco features"}, {"deep", "31 leaves on 19 columns"}} {
		rows = append(rows, row{what: fmt.Sprintf("Score one row, %d trees of %s, one core", q.Trees, shape.name), unit: "ns", main: true,
			ours: side("ours", shape.key+"/ours"), peers: []measurement{side("leaves", shape.key+"/leaves")}, goal: goal{text: "at most 0.5x", ratio: 0.5},
			remark: fmt.Sprintf("%.3g allocations a row", measure.Summarize(got.Series[shape.key+"/allocations"]).Median)})
	}
	return rows, nil
}

// metric is a figure of the comparison by folds.
type metric struct {
	name, title string
	higher      bool
}

var metrics = []metric{{"roc_auc", "ROC-AUC", true}, {"pr_auc", "PR-AUC", true}, {"log_loss", "log loss", false}}

// foldsSection compares scores on the given folds, pair by pair.
func foldsSection(ctx context.Context, b *bench) ([]row, error) {
	file, real, err := b.telco()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.config.Folds); err != nil || !real {
		b.Remark("The real Telco file and its folds are not both there (%s, %s): scores were not compared.", b.config.Data, b.config.Folds)
		return nil, nil
	}
	if !b.has("xgboost", "sklearn", "pandas") {
		return nil, nil
	}
	folds, err := filepath.Abs(b.config.Folds)
	if err != nil {
		return nil, err
	}
	q := request{Task: "folds", File: file, Folds: folds, Scores: filepath.Join(b.dir, "scores.npy")}
	if b.config.Quick {
		q.Seeds = 1
	}
	q.Threads = 2
	if _, err := b.do(ctx, b.ours, q, false); err != nil {
		return nil, err
	}
	b.Say("our scores are written; now the peers'")
	q.Threads = 1
	got, err := b.do(ctx, b.python, q, false)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, m := range metrics {
		mean := func(name, learner string) measurement {
			return measurement{side: name, value: ofFolds(got.Folds[learner][m.name])}
		}
		r := row{what: fmt.Sprintf("%s, mean of %d folds", m.title, len(got.Folds["ours"][m.name])), higher: m.higher, main: true, ours: mean("ours", "ours"),
			peers: []measurement{mean("XGBoost, preset", "xgboost"), mean("scikit-learn GradientBoosting, default", "sklearn")}}
		for _, learner := range []string{"xgboost", "sklearn"} {
			r.pairs = append(r.pairs, compare(got.Folds["ours"][m.name], got.Folds[learner][m.name], m.higher))
		}
		r.goal = goal{text: "level with XGBoost: within 0.0005", difference: 0.0005}
		rows = append(rows, r)
	}
	return rows, nil
}

// ofFolds returns the mean with the least and greatest fold.
func ofFolds(values []float64) measure.Figures {
	f := measure.Summarize(values)
	f.Median = mean(values)
	return f
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// pair is a comparison of two learners on the same folds.
type pair struct {
	Difference float64 // mean of ours minus theirs
	SD         float64 // of the differences over the folds
	Won, N     int     // folds on which ours is better
}

// compare compares fold by fold. ours and theirs are of one length, at least 2. A fold that is level is not won.
func compare(ours, theirs []float64, higher bool) pair {
	d := make([]float64, len(ours))
	p := pair{N: len(ours)}
	for i := range d {
		d[i] = ours[i] - theirs[i]
		if d[i] != 0 && d[i] > 0 == higher {
			p.Won++
		}
	}
	p.Difference = mean(d)
	var squares float64
	for _, v := range d {
		squares += (v - p.Difference) * (v - p.Difference)
	}
	p.SD = math.Sqrt(squares / float64(len(d)-1))
	return p
}
