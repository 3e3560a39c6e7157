package compare

import (
	"errors"
	"fmt"
	"runtime/debug"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
)

// ErrPanic is matched (errors.Is) by the error of [Scorer.Score] when the model panicked on a record: the model is broken, not the record.
var ErrPanic = errors.New("the model panicked")

// Scorer answers logged records with a bundle, exactly as inference answers requests. It has buffers of its own: one per goroutine. Make it with
// NewScorer.
type Scorer struct {
	bundle *model.Bundle
	row    *dataset.Row
	scorer *model.Scorer
}

// NewScorer returns a scorer of a bundle that the caller has verified.
func NewScorer(b *model.Bundle) *Scorer {
	return &Scorer{bundle: b, row: b.Schema.NewRow(), scorer: b.NewScorer()}
}

// Score answers a record. The error is what the bundle's schema has against the record, or matches [ErrPanic].
func (s *Scorer) Score(record []byte) (_ Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, p, debug.Stack())
		}
	}()
	if _, err := s.bundle.Schema.DecodeJSON(record, s.row, dataset.DecodeOptions{}); err != nil {
		return Answer{}, err
	}
	p := s.scorer.Score(s.row)
	return Answer{Score: p.Probability, Positive: p.Positive}, nil
}

// Open decodes and verifies a bundle. A panic on the way is an error, too, as with [Scorer.Score].
func Open(data []byte) (b *model.Bundle, err error) {
	defer func() {
		if p := recover(); p != nil {
			b, err = nil, fmt.Errorf("open bundle: %w: %v", ErrPanic, p)
		}
	}()
	if b, err = model.Decode(data); err != nil {
		return nil, fmt.Errorf("decode bundle: %w", err)
	}
	if err := b.Verify(); err != nil {
		return nil, err
	}
	return b, nil
}

// Row returns the record that was scored last, as the bundle's schema reads it. It is overwritten by the next call of Score.
func (s *Scorer) Row() *dataset.Row { return s.row }
