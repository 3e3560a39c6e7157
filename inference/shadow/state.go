package shadow

import (
	"errors"
	"maps"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
)

// The reasons why a prediction is not scored.
const (
	skippedArm       = "other_arm"       // another than Production as such answered
	skippedPromotion = "other_promotion" // answered under another promotion than the one the shadow stands beside
	skippedJunk      = "junk"            // no prediction
	skippedRecord    = "record"          // the candidate's schema refuses it
)

// counts is what a shadow has counted so far. It is a function of the rollout, the candidate and the messages of both streams up to its positions, and
// what a checkpoint holds. It is not safe for concurrent use.
type counts struct {
	revision, version, production int
	promotion                     uint64 // that Production answers under
	from                          uint64 // first message of PREDICTIONS that belongs to the shadow

	predictions, training uint64 // last messages taken
	tally                 compare.Tally
	skipped               map[string]uint64
	labelled              uint64
	candidate, answered   events.Confusion
}

// begin returns the counts of a shadow that has seen nothing.
func begin(r *events.RolloutChanged) *counts {
	return &counts{revision: r.Revision, version: r.Version, production: r.Production, promotion: r.PromotionSequence, skipped: map[string]uint64{}}
}

// resume returns the counts of a checkpoint of that very rollout.
func resume(r *events.RolloutChanged, e *events.ShadowEvaluated) *counts {
	c := begin(r)
	c.from, c.predictions, c.training = e.PredictionsFrom, e.PredictionsSequence, e.TrainingSequence
	// A flip's direction is not kept: the sum is what counts here.
	c.tally = compare.Tally{Rows: e.Rows, ToPositive: e.Flips, SumAbs: e.SumAbsDiff, MaxAbs: e.MaxAbsDiff}
	copy(c.tally.First[:], e.ProductionScores)
	copy(c.tally.Second[:], e.Scores)
	maps.Copy(c.skipped, e.Skipped)
	c.labelled = e.Labelled
	if e.Confusion != nil && e.ProductionConfusion != nil {
		c.candidate, c.answered = *e.Confusion, *e.ProductionConfusion
	}
	return c
}

// checkpoint returns the event that says all this.
func (c *counts) checkpoint() *events.ShadowEvaluated {
	e := &events.ShadowEvaluated{
		Revision: c.revision, Version: c.version, Production: c.production, PredictionsFrom: c.from, PredictionsSequence: c.predictions,
		TrainingSequence: c.training, Rows: c.tally.Rows, Flips: c.tally.Flips(), MeanAbsDiff: c.tally.MeanAbs(), SumAbsDiff: c.tally.SumAbs,
		MaxAbsDiff: c.tally.MaxAbs, PSI: c.tally.PSI(), Labelled: c.labelled,
		Scores: append([]uint64(nil), c.tally.Second[:]...), ProductionScores: append([]uint64(nil), c.tally.First[:]...),
	}
	if len(c.skipped) > 0 {
		e.Skipped = maps.Clone(c.skipped)
	}
	if c.labelled > 0 {
		candidate, answered := c.candidate, c.answered
		e.Confusion, e.ProductionConfusion = &candidate, &answered
		if f1, ok := compare.F1(&candidate); ok {
			e.F1 = &f1
		}
		if f1, ok := compare.F1(&answered); ok {
			e.F1Production = &f1
		}
	}
	return e
}

// scorer scores a record.
type scorer interface {
	Score(record []byte) (compare.Answer, error)
}

// predicted takes a message of PREDICTIONS, p being nil if it is none, and returns the outcome. The error matches compare.ErrPanic; then nothing was
// counted.
func (c *counts) predicted(sequence uint64, p *events.PredictionMade, s scorer) (outcome string, err error) {
	switch {
	case p == nil:
		outcome = skippedJunk
	case p.Arm != "":
		outcome = skippedArm
	case p.PromotionSequence != c.promotion:
		outcome = skippedPromotion
	default:
		answer, err := s.Score(p.Record)
		if errors.Is(err, compare.ErrPanic) {
			return "", err
		}
		if err == nil {
			c.tally.Add(compare.Answer{Score: p.Score, Positive: p.Positive}, answer)
			c.predictions = sequence
			return "scored", nil
		}
		outcome = skippedRecord
	}
	c.skipped[outcome]++
	c.predictions = sequence
	return outcome, nil
}

// joined takes a message of TRAINING, x being nil if it is none. The error is as with predicted.
func (c *counts) joined(sequence uint64, x *events.ExampleJoined, s scorer) error {
	if x != nil && x.Arm == "" && x.PromotionSequence == c.promotion && x.PredictionsSequence >= c.from {
		answer, err := s.Score(x.Record)
		if errors.Is(err, compare.ErrPanic) {
			return err
		}
		if err == nil { // else it was counted as skipped when it was predicted
			c.labelled++
			compare.Judge(&c.answered, x.Predicted, x.Observed)
			compare.Judge(&c.candidate, answer.Positive, x.Observed)
		}
	}
	c.training = sequence
	return nil
}
