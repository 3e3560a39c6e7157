package eval

import (
	"errors"
	"fmt"
	"math"
)

// ErrSingleClass is returned where a figure needs rows of both classes and only one has any weight. Nothing else is returned.
var ErrSingleClass = errors.New("labels hold a single class")

// ErrEmpty is returned when there are no rows, or none with a weight above 0.
var ErrEmpty = errors.New("no rows")

// check reports the first fault of the input, see the package comment.
func check(score, label, weight []float64) error {
	if len(score) != len(label) {
		return fmt.Errorf("%d scores but %d labels", len(score), len(label))
	}
	if weight != nil && len(weight) != len(score) {
		return fmt.Errorf("%d scores but %d weights", len(score), len(weight))
	}
	if len(score) == 0 {
		return ErrEmpty
	}
	if len(score) > math.MaxInt32 {
		return fmt.Errorf("%d rows are more than the %d that fit", len(score), math.MaxInt32)
	}
	total := 0.0
	for i, s := range score {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("row %d: score %v is not finite", i, s)
		}
		if y := label[i]; y != 0 && y != 1 {
			return fmt.Errorf("row %d: label %v is neither 0 nor 1", i, y)
		}
		w := weightAt(weight, i)
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("row %d: weight %v is negative or not finite", i, w)
		}
		total += w
	}
	if total == 0 {
		return fmt.Errorf("all weights are 0: %w", ErrEmpty)
	}
	if math.IsInf(total, 0) {
		return errors.New("weights add up to more than a float64 holds")
	}
	return nil
}

// checkProbabilities is check, and every score must lie in [0, 1].
func checkProbabilities(score, label, weight []float64) error {
	if err := check(score, label, weight); err != nil {
		return err
	}
	for i, s := range score {
		if s < 0 || s > 1 {
			return fmt.Errorf("row %d: score %v is outside [0, 1]", i, s)
		}
	}
	return nil
}

func weightAt(weight []float64, i int) float64 {
	if weight == nil {
		return 1
	}
	return weight[i]
}

// block is the weight of either class among the rows that share one score.
type block struct {
	score    float64
	pos, neg float64
}

// rank groups the rows by score, highest first. Rows of weight 0 leave no block. Rows of one score are added in row order.
func rank(score, label, weight []float64) (blocks []block, pos, neg float64) {
	rows := order(score, weight)
	distinct := 0
	for k, i := range rows {
		if k == 0 || score[i] != score[rows[k-1]] {
			distinct++
		}
	}
	blocks = make([]block, 0, distinct)
	for k, row := range rows {
		i := int(row)
		if k == 0 || blocks[len(blocks)-1].score != score[i] {
			blocks = append(blocks, block{score: score[i]})
		}
		last := &blocks[len(blocks)-1]
		if label[i] == 1 {
			last.pos += weightAt(weight, i)
		} else {
			last.neg += weightAt(weight, i)
		}
	}
	for _, b := range blocks {
		pos += b.pos
		neg += b.neg
	}
	return blocks, pos, neg
}
