package backtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
)

// DefaultTop is how many of the rows that changed most are listed.
const DefaultTop = 10

// Candidate is a model that answers again.
type Candidate struct {
	// Version is 0 for a bundle that is no version.
	Version int
	Digest  string
	Bundle  *model.Bundle
}

// Config says what to answer again. Bus, Model and Candidate are required.
type Config struct {
	Bus   *bus.Bus
	Model string
	// From and To bound the time of storing: from From on, up to before To. Zero From means the first prediction there is, zero To until now.
	From, To  time.Time
	Candidate Candidate
	// Against is the model that is compared with; nil means what was answered then.
	Against *Candidate
	// Answered leaves out what another version answered; 0 keeps all.
	Answered int
	// Top is the number of the rows that changed most in the report; 0 means none.
	Top int
	// Progress, if set, is called now and then, and at the end.
	Progress func(Progress)
}

// Progress says how far a run is.
type Progress struct {
	Rows uint64 // taken
	// Sequence is that of the last row, From and Through are the first and the last one to come.
	Sequence, From, Through uint64
}

// Validate reports the first thing that is wrong.
func (c *Config) Validate() error {
	switch {
	case c.Bus == nil || c.Model == "" || c.Candidate.Bundle == nil:
		return errors.New("backtest: bus, model and candidate are required")
	case c.Against != nil && c.Against.Bundle == nil:
		return errors.New("backtest: the model compared with has no bundle")
	case !c.To.IsZero() && !c.From.Before(c.To):
		return fmt.Errorf("backtest: from %s is not before to %s", c.From.Format(time.RFC3339), c.To.Format(time.RFC3339))
	case c.Top < 0 || c.Answered < 0:
		return errors.New("backtest: top and answered must not be negative")
	}
	return nil
}

// progressEvery is how many rows pass between two calls of Progress.
const progressEvery = 5000

// ErrNothing is returned by Run if no prediction of the model was stored in the period.
var ErrNothing = errors.New("no prediction was made in the period")

// Run answers the period again. It returns after the last row that was stored when it began, or when ctx ends.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &runner{c: c, report: newReport(&c), candidate: compare.NewScorer(c.Candidate.Bundle), ranks: [2]*compare.Ranks{compare.NewRanks(), compare.NewRanks()},
		slices: newSlicer(c.Candidate.Bundle)}
	if c.Against != nil {
		r.against = compare.NewScorer(c.Against.Bundle)
	}
	began := time.Now()
	if err := r.bounds(ctx); err != nil {
		return nil, err
	}
	if err := r.read(ctx, events.Predictions, events.TypePredictionMade, r.report.From, r.predicted); err != nil {
		return nil, err
	}
	if r.report.Rows == 0 && len(r.report.Skipped) == 0 && r.report.LeftOut == 0 {
		return nil, ErrNothing
	}
	if err := r.labels(ctx); err != nil {
		return nil, err
	}
	r.finish(time.Since(began))
	return r.report, nil
}

// runner is one run.
type runner struct {
	c                  Config
	report             *Report
	candidate, against *compare.Scorer
	tally              compare.Tally
	ranks              [2]*compare.Ranks // of what is compared with, and of the candidate
	judged             [2]events.Confusion
	slices             *slicer
}

// bounds finds the sequences of the period.
func (r *runner) bounds(ctx context.Context) error {
	end, err := r.c.Bus.LastSequence(ctx, events.Predictions)
	if err != nil {
		return err
	}
	first, ok, err := r.c.Bus.Since(ctx, events.TypePredictionMade, r.c.Model, r.c.From)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNothing
	}
	r.report.From, r.report.Through = first.Sequence, end
	if r.c.To.IsZero() {
		return nil
	}
	after, ok, err := r.c.Bus.Since(ctx, events.TypePredictionMade, r.c.Model, r.c.To)
	if ok {
		r.report.Through = min(end, after.Sequence-1)
	}
	if err == nil && r.report.Through < r.report.From {
		return ErrNothing
	}
	return err
}

// read calls take with each message of a type from a sequence on; those of PREDICTIONS end where the period does.
func (r *runner) read(ctx context.Context, stream events.Stream, t events.Type, from uint64, take func(bus.Message) error) error {
	subject, err := events.SubjectOf(t, r.c.Model)
	if err != nil {
		return err
	}
	rc := bus.ReadConfig{Stream: stream, Filters: []string{subject}, From: from}
	if stream == events.Predictions {
		rc.Through = r.report.Through
	}
	return r.c.Bus.Read(ctx, rc, take)
}

// predicted takes one prediction.
func (r *runner) predicted(m bus.Message) error {
	rep := r.report
	p, ok := m.Event.Payload.(*events.PredictionMade)
	defer r.progress(m.Sequence)
	if !ok {
		rep.Skipped["junk"]++
		return nil
	}
	rep.Answered[p.Version]++
	if r.c.Answered > 0 && p.Version != r.c.Answered {
		rep.LeftOut++
		return nil
	}
	second, err := r.candidate.Score(p.Record)
	if err != nil {
		return r.skip("record", "candidate", err)
	}
	logged := compare.Answer{Score: p.Score, Positive: p.Positive}
	first := logged
	if r.against != nil {
		if first, err = r.against.Score(p.Record); err != nil {
			return r.skip("record_against", "model compared with", err)
		}
	}
	r.proof(p, logged, second)
	r.tally.Add(first, second)
	r.slices.add(r.candidate.Row(), first, second)
	rep.Rows++
	if rep.FirstAt.IsZero() {
		rep.FirstAt = m.Time.UTC()
	}
	rep.LastAt = m.Time.UTC()
	rep.keep(Change{
		PredictionID: p.PredictionID, EntityID: p.EntityID, Sequence: m.Sequence, At: m.Time.UTC(), Answered: p.Version,
		Against: first.Score, Score: second.Score, Flip: first.Positive != second.Positive,
	}, r.c.Top)
	return nil
}

// proof counts the answers of the candidate itself, which must come again to the bit.
func (r *runner) proof(p *events.PredictionMade, logged, again compare.Answer) {
	if r.c.Candidate.Version == 0 || p.Version != r.c.Candidate.Version {
		return
	}
	r.report.Own.Rows++
	if math.Float64bits(logged.Score) == math.Float64bits(again.Score) && logged.Positive == again.Positive {
		return
	}
	r.report.Own.Differing++
	if r.report.Own.First == "" {
		r.report.Own.First = p.PredictionID
	}
}

// skip counts a record that cannot be scored. A model that panics ends the run.
func (r *runner) skip(reason, who string, err error) error {
	if errors.Is(err, compare.ErrPanic) {
		return fmt.Errorf("backtest: %s: %w", who, err)
	}
	r.report.Skipped[reason]++
	return nil
}

func (r *runner) progress(sequence uint64) {
	if n := r.report.Rows; r.c.Progress != nil && (n%progressEvery == 0 || sequence == r.report.Through) {
		r.c.Progress(Progress{Rows: n, Sequence: sequence, From: r.report.From, Through: r.report.Through})
	}
}

// labels judges both on what is known of the period by now.
func (r *runner) labels(ctx context.Context) error {
	first, ok, err := r.c.Bus.Since(ctx, events.TypeExampleJoined, r.c.Model, r.c.From) // a label is joined after its prediction was stored
	if err != nil || !ok {
		return err
	}
	return r.read(ctx, events.Training, events.TypeExampleJoined, first.Sequence, func(m bus.Message) error {
		x, ok := m.Event.Payload.(*events.ExampleJoined)
		if !ok || x.PredictionsSequence < r.report.From || x.PredictionsSequence > r.report.Through || r.c.Answered > 0 && x.Version != r.c.Answered {
			return nil
		}
		second, err := r.candidate.Score(x.Record)
		if err != nil {
			return r.unjudged("candidate", err)
		}
		before := compare.Answer{Score: x.Score, Positive: x.Predicted}
		if r.against != nil {
			if before, err = r.against.Score(x.Record); err != nil {
				return r.unjudged("model compared with", err)
			}
		}
		r.report.Labelled++
		for i, a := range []compare.Answer{before, second} {
			compare.Judge(&r.judged[i], a.Positive, x.Observed)
			r.ranks[i].Add(a.Score, x.Observed)
		}
		return nil
	})
}

// unjudged passes over a record that was counted as skipped before.
func (r *runner) unjudged(who string, err error) error {
	if errors.Is(err, compare.ErrPanic) {
		return fmt.Errorf("backtest: %s: %w", who, err)
	}
	return nil
}
