package backtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// ErrNoPrediction is returned by Prove if no stored prediction has the id.
var ErrNoPrediction = errors.New("no such prediction is stored")

// Proof is where one answer came from: the event, the promotion it was given under, the version with its bundle, and the run that made it.
type Proof struct {
	Sequence   uint64                 `json:"sequence"` // in PREDICTIONS
	StoredAt   time.Time              `json:"stored_at"`
	Prediction *events.PredictionMade `json:"prediction"`

	// Promotion is what Production rested on, PromotedAt when it was stored; nil if it cannot be found.
	Promotion  *events.ModelPromoted `json:"promotion,omitempty"`
	PromotedAt time.Time             `json:"promoted_at,omitzero"`
	// Registered is the version that answered; nil if it cannot be found.
	Registered   *events.ModelRegistered `json:"registered,omitempty"`
	RegisteredAt time.Time               `json:"registered_at,omitzero"`
	// Run is the run that made it; nil for a version from elsewhere.
	Run *events.RunCompleted `json:"run,omitempty"`
	// Example is the prediction with its outcome; nil as long as none was joined.
	Example *events.ExampleJoined `json:"example,omitempty"`

	// Again is the score that the version's bundle gives now, Equal whether it and the label are the same to the bit. Unproven says why there is none.
	Again    *float64 `json:"again,omitempty"`
	Equal    bool     `json:"equal"`
	Unproven string   `json:"unproven,omitempty"`
}

// errStop ends a search that has found.
var errStop = errors.New("found")

// Prove finds a prediction of a model and what it rests on, and has its version answer again. An id that holds its time is looked for from then on; for
// any other, from says where to begin, zero meaning with the first prediction there is.
func Prove(ctx context.Context, b *bus.Bus, store artifact.Store, model, id string, from time.Time) (*Proof, error) {
	if at, ok := timeOf(id); ok && from.IsZero() {
		from = at.Add(-time.Minute) // clocks differ
	}
	p := &Proof{}
	err := since(ctx, b, events.TypePredictionMade, model, from, func(m bus.Message) bool {
		made, ok := m.Event.Payload.(*events.PredictionMade)
		if ok && made.PredictionID == id {
			p.Prediction, p.Sequence, p.StoredAt = made, m.Sequence, m.Time.UTC()
		}
		return p.Prediction != nil
	})
	if err != nil {
		return nil, err
	}
	if p.Prediction == nil {
		return nil, fmt.Errorf("%s of model %s: %w", id, model, ErrNoPrediction)
	}
	if err := p.rests(ctx, b, model); err != nil {
		return nil, err
	}
	err = since(ctx, b, events.TypeExampleJoined, model, p.StoredAt, func(m bus.Message) bool {
		if x, ok := m.Event.Payload.(*events.ExampleJoined); ok && x.PredictionID == id {
			p.Example = x
		}
		return p.Example != nil
	})
	if err != nil {
		return nil, err
	}
	p.again(ctx, store, model)
	return p, ctx.Err()
}

// since calls take with the messages of a type since a time, until it returns true.
func since(ctx context.Context, b *bus.Bus, t events.Type, model string, at time.Time, take func(bus.Message) bool) error {
	first, ok, err := b.Since(ctx, t, model, at)
	if err != nil || !ok {
		return err
	}
	err = b.Read(ctx, bus.ReadConfig{Stream: first.Stream, Filters: []string{first.Subject}, From: first.Sequence}, func(m bus.Message) error {
		if take(m) {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// rests finds promotion, version and run.
func (p *Proof) rests(ctx context.Context, b *bus.Bus, model string) error {
	if seq := p.Prediction.PromotionSequence; seq > 0 {
		m, ok, err := b.Get(ctx, events.Lifecycle, seq)
		if err != nil {
			return err
		}
		if promoted, is := m.Event.Payload.(*events.ModelPromoted); ok && is && m.Event.Model == model {
			p.Promotion, p.PromotedAt = promoted, m.Time.UTC()
		}
	}
	var runs []string
	for _, t := range []events.Type{events.TypeModelRegistered, events.TypeRunCompleted} {
		subject, err := events.SubjectOf(t, model)
		if err != nil {
			return err
		}
		runs = append(runs, subject)
	}
	completed := map[string]*events.RunCompleted{}
	err := b.Read(ctx, bus.ReadConfig{Stream: events.Lifecycle, Filters: runs}, func(m bus.Message) error {
		switch x := m.Event.Payload.(type) {
		case *events.ModelRegistered:
			if x.Version == p.Prediction.Version && p.Registered == nil {
				p.Registered, p.RegisteredAt = x, m.Time.UTC()
			}
		case *events.RunCompleted:
			completed[x.RunID] = x
		}
		return nil
	})
	if p.Registered != nil {
		p.Run = completed[p.Registered.RunID]
	}
	return err
}

// again has the version answer once more.
func (p *Proof) again(ctx context.Context, store artifact.Store, model string) {
	if p.Registered == nil {
		p.Unproven = fmt.Sprintf("version %d is not registered", p.Prediction.Version)
		return
	}
	c, err := fetch(ctx, store, model, p.Prediction.Version, p.Registered.Bundle)
	if err != nil {
		p.Unproven = err.Error()
		return
	}
	a, err := compare.NewScorer(c.Bundle).Score(p.Prediction.Record)
	if err != nil {
		p.Unproven = err.Error()
		return
	}
	p.Again = &a.Score
	p.Equal = math.Float64bits(a.Score) == math.Float64bits(p.Prediction.Score) && a.Positive == p.Prediction.Positive
}

// timeOf returns the time in a UUID of version 7, to the millisecond, and false for any other id.
func timeOf(id string) (time.Time, bool) {
	digits := strings.ReplaceAll(id, "-", "")
	if len(id) != 36 || len(digits) != 32 || digits[12] != '7' {
		return time.Time{}, false
	}
	ms, err := strconv.ParseUint(digits[:12], 16, 64)
	if err != nil {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(ms)), true
}
