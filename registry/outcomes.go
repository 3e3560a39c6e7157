package registry

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/rollout"
)

// outcomesTail is how many of the last joined examples are read at the start: what was labelled before tells nothing of what is tried now.
const outcomesTail = 200_000

// outcomesKept bounds the labelled rows that are kept of a version, the last ones: an F1 over them is exact enough.
const outcomesKept = 10_000

// outcomesKeys bounds the versions and promotions of a model of which there are any.
const outcomesKeys = 32

// outcomes keeps the last labelled rows by model, version and promotion. It is safe for concurrent use.
type outcomes struct {
	mu   sync.Mutex
	rows map[outcomeKey]*labelled
}

// labelled is the last rows of a version, in a ring.
type labelled struct {
	rows   []outcome
	next   int   // where the next row goes, once the ring is full
	latest int64 // of its predictions
}

type outcome struct {
	at                  int64 // of the prediction, in Unix nanoseconds
	predicted, observed bool
}

type outcomeKey struct {
	model     string
	version   int
	promotion uint64
}

func newOutcomes() *outcomes { return &outcomes{rows: map[outcomeKey]*labelled{}} }

// add takes a row, unless its caller chose the version.
func (o *outcomes) add(model string, x *events.ExampleJoined) {
	if x.Arm == events.ArmDirect {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := outcomeKey{model, x.Version, x.PromotionSequence}
	l := o.rows[key]
	if l == nil {
		o.forget(model)
		l = &labelled{}
		o.rows[key] = l
	}
	row := outcome{x.PredictedAt.UnixNano(), x.Predicted, x.Observed}
	l.latest = max(l.latest, row.at)
	if len(l.rows) < outcomesKept {
		l.rows = append(l.rows, row)
		return
	}
	l.rows[l.next] = row
	l.next = (l.next + 1) % outcomesKept
}

// forget makes room for another version or promotion of a model: that of which nothing was predicted for longest goes. mu is held.
func (o *outcomes) forget(model string) {
	n, oldest := 0, outcomeKey{}
	for key, l := range o.rows {
		if key.model != model {
			continue
		}
		if n++; n == 1 || l.latest < o.rows[oldest].latest {
			oldest = key
		}
	}
	if n >= outcomesKeys {
		delete(o.rows, oldest)
	}
}

// of returns a model's by version and promotion, of rows predicted since a time.
func (o *outcomes) of(model string) func(version int, promotion uint64, since time.Time) rollout.Labels {
	return func(version int, promotion uint64, since time.Time) (l rollout.Labels) {
		o.mu.Lock()
		defer o.mu.Unlock()
		kept := o.rows[outcomeKey{model, version, promotion}]
		if kept == nil {
			return l
		}
		from := int64(math.MinInt64)
		if !since.IsZero() {
			from = since.UnixNano()
		}
		for _, r := range kept.rows {
			if r.at >= from {
				l.Add(r.predicted, r.observed)
			}
		}
		return l
	}
}

func (o *outcomes) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.rows)
}

// followOutcomes counts labelled rows as they are joined.
func (s *Service) followOutcomes(ctx context.Context) error {
	last, err := s.cfg.Bus.LastSequence(ctx, events.Training)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("read outcomes: %w", err)
	}
	filters := []string{events.WildcardOf(events.TypeExampleJoined)}
	return s.cfg.Bus.Follow(ctx, bus.FollowConfig{Name: "registry", Stream: events.Training, Filters: filters, From: firstOutcome(last),
		OnCaughtUp: func() {
			s.read.outcomes.Store(true)
			s.nudge()
		},
		OnReset: func() {
			s.read.outcomes.Store(false)
			s.outcomes.reset()
		}},
		func(_ context.Context, m bus.Message) error {
			if x, ok := m.Event.Payload.(*events.ExampleJoined); ok && m.Err == nil {
				s.outcomes.add(m.Event.Model, x)
			}
			return nil
		})
}

// firstOutcome is where reading begins in a stream that ends at last.
func firstOutcome(last uint64) uint64 {
	if last > outcomesTail {
		return last - outcomesTail + 1
	}
	return 1
}
