package model

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"telco-churn-mlops/model/dataset"
)

// Prediction is the answer for one record.
type Prediction struct {
	Margin      float64 // of the trees, before calibration: log-odds
	Probability float64 // of the positive label, calibrated
	Positive    bool    // Probability >= the bundle's threshold
	Label       string  // the spec's word for it: the positive value, or the negative one
	Unseen      bool    // a word of the record was not in the training part: Pipeline.Unseen names the columns
}

// Scorer scores records with buffers of its own: one per goroutine. Make it with [Bundle.NewScorer].
type Scorer struct {
	bundle             *Bundle
	features           []float64
	positive, negative string
}

// NewScorer returns a scorer for this bundle, which it keeps alive.
func (b *Bundle) NewScorer() *Scorer {
	return &Scorer{
		bundle:   b,
		features: make([]float64, b.Pipeline.Width()),
		positive: b.Schema.Positive(),
		negative: b.Schema.Negative(),
	}
}

// Score returns the prediction for a record decoded by the bundle's schema, whatever its label. Missing and unseen values are treated
// as package feature says; Pipeline.Unseen names the latter. It allocates nothing.
func (s *Scorer) Score(row *dataset.Row) Prediction {
	b := s.bundle
	unseen := b.Pipeline.Transform(row, s.features)
	margin := b.Trees.Margin(s.features)
	p := Prediction{Margin: margin, Probability: b.probability(margin), Label: s.negative, Unseen: unseen}
	if p.Probability >= b.Manifest.Threshold {
		p.Positive, p.Label = true, s.positive
	}
	return p
}

// scoreBlock is how many rows a goroutine of ScoreTable takes at once.
const scoreBlock = 1024

// ScoreTable returns the probability of each of the table's rows, nil standing for all of them, in their order. The table must be by
// the bundle's schema. It uses all processors; the result does not depend on how many there are.
func (b *Bundle) ScoreTable(t *dataset.Table, rows []int) []float64 {
	n := len(rows)
	if rows == nil {
		n = t.Len()
	}
	scores := make([]float64, n)
	blocks := (n + scoreBlock - 1) / scoreBlock
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(blocks, runtime.GOMAXPROCS(0)) {
		wait.Go(func() {
			scorer, row := b.NewScorer(), b.Schema.NewRow()
			for k := int(next.Add(1)) - 1; k < blocks; k = int(next.Add(1)) - 1 {
				for i := k * scoreBlock; i < min(n, (k+1)*scoreBlock); i++ {
					r := i
					if rows != nil {
						r = rows[i]
					}
					scores[i] = scorer.Score(t.Row(r, row)).Probability
				}
			}
		})
	}
	wait.Wait()
	return scores
}

// ScoreHoldout reads a holdout file (CSV as dataset.Table writes it, labels included) by the schema of this bundle, which may be another
// version than the one that the file was written for, and returns a score and a label, 0 or 1, per row, in the file's order. It fails
// on a column that this bundle needs and the file lacks, on the first row that this bundle's schema refuses, and on a file without rows:
// a figure over a part of the rows could not be compared with another version's. A value outside its bounds is scored, as it is in a request:
// labelled predictions with such values are trained on and are in the holdouts of retrainings.
func (b *Bundle) ScoreHoldout(r io.Reader) (score, label []float64, err error) {
	reader, err := dataset.NewReader(r, b.Schema, dataset.ReaderOptions{Format: "csv", Delimiter: ',', RequireLabel: true, TakeRange: true})
	if err != nil {
		return nil, nil, fmt.Errorf("score holdout: %w", err)
	}
	scorer, row := b.NewScorer(), b.Schema.NewRow()
	for {
		err := reader.Next(row)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("score holdout: %w", err)
		}
		score = append(score, scorer.Score(row).Probability)
		label = append(label, row.Label)
	}
	if len(score) == 0 {
		return nil, nil, errors.New("score holdout: no rows")
	}
	return score, label, nil
}
