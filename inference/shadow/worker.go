package shadow

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nuid"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// Worker counts the shadows of models. Make one with New and call Run once.
type Worker struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	boot    string // tells this worker's checkpoints from those of others

	mu       sync.Mutex
	caughtUp bool
	desks    map[string]*desk
	open     func(data []byte) (scorer, error) // of a bundle; a test's may be another

	group *errgroup.Group
	ctx   context.Context // of the desks
}

// desk is what the fold of LIFECYCLE says of a model, and the goroutine that acts on it.
type desk struct {
	model    string
	rollout  *events.RolloutChanged // the last one
	since    bus.Message            // its message
	ended    *events.RolloutChanged // what followed the last shadow that ran
	promoted uint64                 // sequence of the last promotion
	changed  chan struct{}          // closed at the next change
}

// New checks the configuration and registers the metrics.
func New(c Config) (*Worker, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	return &Worker{cfg: c, log: c.Log.With("component", "shadow"), metrics: m, boot: nuid.Next(), desks: map[string]*desk{}, open: openBundle}, nil
}

// Run works until ctx ends and returns nil then.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.cfg.Bus.Provision(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("shadow: provision streams: %w", err)
	}
	rollouts, err := w.cfg.filter(events.TypeRolloutChanged)
	if err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	promotions, err := w.cfg.filter(events.TypeModelPromoted)
	if err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	evaluated, err := w.cfg.filter(events.TypeShadowEvaluated)
	if err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	w.group, w.ctx = errgroup.WithContext(ctx)
	w.group.Go(func() error { // only for the junk among them
		return w.cfg.Bus.Follow(w.ctx, bus.FollowConfig{Name: "shadow", Stream: events.Drift, Filters: []string{evaluated}, DeadLetterJunk: true},
			func(context.Context, bus.Message) error { return nil })
	})
	w.group.Go(func() error {
		return w.cfg.Bus.Follow(w.ctx, bus.FollowConfig{
			Name: "shadow", Stream: events.Lifecycle, Filters: []string{rollouts, promotions},
			OnCaughtUp: w.start, OnReset: w.forget,
		}, func(_ context.Context, m bus.Message) error {
			w.fold(m)
			return nil
		})
	})
	if err := w.group.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("shadow: %w", err)
	}
	return nil
}

// fold takes a message of LIFECYCLE. Junk is passed over: the registry repairs it.
func (w *Worker) fold(m bus.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.desks[m.Event.Model]
	if d == nil && m.Err == nil {
		d = &desk{model: m.Event.Model, changed: make(chan struct{})}
		w.desks[d.model] = d
		if w.caughtUp {
			w.group.Go(func() error { return w.attend(d) })
		}
	}
	switch p := m.Event.Payload.(type) {
	case *events.RolloutChanged:
		switch {
		case runs(p):
			d.ended = nil
		case runs(d.rollout):
			d.ended = p
		}
		d.rollout, d.since = p, m
	case *events.ModelPromoted:
		d.promoted = m.Sequence
	default:
		return
	}
	d.turn()
}

// runs reports whether a rollout is a shadow that runs, unless its Production was replaced.
func runs(r *events.RolloutChanged) bool {
	return r != nil && r.Mode == events.RolloutShadow && r.State == events.RolloutRunning
}

// turn wakes the desk's goroutine; the mutex is held.
func (d *desk) turn() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// start sets to work what was folded.
func (w *Worker) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.caughtUp
	w.caughtUp = true
	for _, d := range w.desks {
		if first {
			w.group.Go(func() error { return w.attend(d) })
		} else {
			d.turn()
		}
	}
}

// forget starts the fold anew. The desks go on with what they have until their model is spoken of again.
func (w *Worker) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.desks {
		d.rollout, d.ended, d.promoted = nil, nil, 0
	}
}

// running is a shadow that is in force.
type running struct {
	model   string
	rollout *events.RolloutChanged
	since   bus.Message
}

// look returns the shadow that is in force, nil for none, then what ended the last one or else the last rollout, and a channel that is closed when that
// may be so no more.
func (w *Worker) look(d *desk) (*running, *events.RolloutChanged, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := d.rollout
	if !runs(r) || r.PromotionSequence != d.promoted {
		return nil, cmp.Or(d.ended, r), d.changed
	}
	return &running{model: d.model, rollout: r, since: d.since}, r, d.changed
}

// attend serves one model until the worker stops.
func (w *Worker) attend(d *desk) error {
	for {
		now, last, changed := w.look(d)
		if now == nil {
			if err := w.finish(d.model, last); err != nil && w.ctx.Err() == nil {
				return err
			}
		} else if err := w.count(now, changed); err != nil && w.ctx.Err() == nil {
			return err
		}
		select {
		case <-w.ctx.Done():
			return nil
		case <-changed:
		}
	}
}
