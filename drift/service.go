package drift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus"
)

// noticesKept is how many ids of alerts and evaluations are remembered per model: far more than can lie between a checkpoint and the end.
const noticesKept = 10_000

// Service watches the traffic of models. Make one with New and call Run once.
type Service struct {
	cfg     Config
	log     *slog.Logger
	admin   *app.Admin
	metrics *metrics
	refs    *references

	alerts, cleared, evaluated, examples *ledger
	joiner                               *joiner

	ready  *readiness
	status *statusBoard

	// step, if set by a test, is called before and after each publish and may fail.
	step func(what string) error
}

// New checks the configuration and binds the admin port.
func New(c Config) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	admin, err := app.NewAdmin(app.AdminConfig{Addr: c.Addr, Flag: c.AddrFlag}, c.Metrics, c.Health, c.Log)
	if err != nil {
		return nil, err
	}
	log := c.Log.With("component", "drift")
	s := &Service{cfg: c, log: log, admin: admin, metrics: m,
		refs: &references{b: c.Bus, store: c.Store, limit: c.MaxBundle, retry: c.Retry, now: c.Now, log: log,
			promotions: map[promotionKey]*events.ModelPromoted{}, missed: map[promotionKey]*missedReference{}},
		alerts: newLedger(c.Bus, events.TypeDriftAlert, noticesKept), cleared: newLedger(c.Bus, events.TypeDriftCleared, noticesKept),
		evaluated: newLedger(c.Bus, events.TypeDriftEvaluated, noticesKept), examples: newLedger(c.Bus, events.TypeExampleJoined, 0),
		ready: newReadiness(c.Health, "predictions", "examples", "labels"), status: newStatusBoard(c.Instance),
	}
	s.joiner = newJoiner(s)
	admin.Handle("GET /status", http.HandlerFunc(s.serveStatus))
	return s, nil
}

// Addr returns the bound admin address.
func (s *Service) Addr() string { return s.admin.Addr() }

// Run works until ctx ends and returns nil then.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.admin.Run(ctx) })
	g.Go(func() error {
		if err := s.cfg.Bus.Provision(ctx); err != nil {
			return fmt.Errorf("drift: provision streams: %w", err)
		}
		if err := s.work(ctx); err != nil {
			return fmt.Errorf("drift: %w", err)
		}
		return nil
	})
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// work folds what was written before, and then follows the three streams.
func (s *Service) work(ctx context.Context) error {
	points := checkpoints{}
	g, loading := errgroup.WithContext(ctx)
	s.evaluated.seen = points.take
	g.Go(func() error { return s.alerts.load(loading) })
	g.Go(func() error { return s.cleared.load(loading) })
	g.Go(func() error { return s.evaluated.load(loading) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	s.evaluated.seen = nil
	for model, p := range points {
		s.restored(model, p)
	}
	traffic, err := s.newTraffic(ctx, points)
	if err != nil {
		return fmt.Errorf("find checkpoints: %w", err)
	}
	outcomes := s.newOutcomes(points)
	g, ctx = errgroup.WithContext(ctx)
	g.Go(func() error { return s.followPredictions(ctx, traffic) })
	g.Go(func() error { return s.followExamples(ctx, outcomes) })
	g.Go(func() error { return s.joiner.run(ctx) })
	g.Go(func() error { return s.guardEvaluations(ctx) })
	return g.Wait()
}

// guardEvaluations dead-letters what on DRIFT is no evaluation. Checkpoints are read from the ledger, which passes junk over.
func (s *Service) guardEvaluations(ctx context.Context) error {
	c, err := s.cfg.consumer("drift-evaluations", events.Drift, events.TypeDriftEvaluated)
	if err != nil {
		return err
	}
	c.MaxAckPending = evaluationsInHand
	return s.cfg.Bus.Consume(ctx, c, func(context.Context, bus.Message) error { return nil })
}

// evaluationsInHand bounds what the consumer that only looks for junk holds at once.
const evaluationsInHand = 256

// restored shows a checkpoint before the first new evaluation.
func (s *Service) restored(model string, p *checkpoint) {
	for _, e := range []*events.DriftEvaluated{p.data, p.performance} {
		if e != nil {
			s.metrics.evaluated(model, nil, e)
			s.status.evaluated(model, e)
		}
	}
}

// checkpoint is a model's last evaluations.
type checkpoint struct {
	data        *events.DriftEvaluated
	performance *events.DriftEvaluated
	versions    map[int]*events.DriftEvaluated // the last performance evaluation of each version
}

// checkpoints are those of all models, by name.
type checkpoints map[string]*checkpoint

// take keeps a message of DRIFT if it is a newer evaluation. Junk is passed over: nothing is decided by it.
func (c checkpoints) take(m bus.Message) {
	e, ok := m.Event.Payload.(*events.DriftEvaluated)
	if !ok {
		return
	}
	p := c.of(m.Event.Model)
	switch e.Kind {
	case events.DriftData:
		p.data = e
	case events.DriftPerformance:
		p.performance = e
		p.versions[e.Version] = e
	}
}

func (c checkpoints) of(model string) *checkpoint {
	p := c[model]
	if p == nil {
		p = &checkpoint{versions: map[int]*events.DriftEvaluated{}}
		c[model] = p
	}
	return p
}

// publish writes the notices of an evaluation and then the evaluation, each once. At any error or kill in between the same call with the same
// evaluation completes what is missing.
func (s *Service) publish(ctx context.Context, model string, e *events.DriftEvaluated, notices []events.Payload) error {
	now := s.cfg.Now()
	for _, n := range notices {
		if err := s.at("notice"); err != nil {
			return err
		}
		if err := s.notify(ctx, model, n); err != nil {
			return err
		}
	}
	if err := s.at("evaluated"); err != nil { // also after the last notice
		return err
	}
	key := fmt.Sprintf("%s/%d@%d", e.Kind, e.Evaluation, e.PredictionsSequence)
	if e.Kind == events.DriftPerformance {
		key = fmt.Sprintf("%s/v%d/%d@%d", e.Kind, e.Version, e.Evaluation, e.TrainingSequence)
	}
	stored, err := s.evaluated.once(ctx, events.New(model, s.cfg.Bus.Source(), key, now, e))
	if err != nil {
		return err
	}
	if stored {
		s.metrics.evaluations.WithLabelValues(model, string(e.Kind)).Inc()
	}
	return s.at("done")
}

// notify writes one alert or clearing. Its id holds the position beside the evaluation's number: numbers begin anew for a model that was quiet for
// longer than DRIFT keeps its checkpoint, and alerts are kept for longer.
func (s *Service) notify(ctx context.Context, model string, n events.Payload) error {
	var (
		l    *ledger
		m    *events.Measurement
		what = changeAlert
	)
	switch p := n.(type) {
	case *events.DriftAlert:
		l, m = s.alerts, &p.Measurement
		if p.Repeat {
			what = changeRepeat
		}
	case *events.DriftCleared:
		l, m, what = s.cleared, &p.Measurement, changeCleared
	default:
		panic(fmt.Sprintf("drift: notice %T", n))
	}
	key := fmt.Sprintf("%s/%s/%d@%d", m.Kind, m.Column, m.Evaluation, m.PredictionsSequence)
	stored, err := l.once(ctx, events.New(model, s.cfg.Bus.Source(), key, s.cfg.Now(), n))
	if err != nil {
		return err
	}
	if stored {
		s.metrics.notices.WithLabelValues(model, string(m.Kind), string(what)).Inc()
		s.log.Info("drift "+string(what), "model", model, "version", m.Version, "column", m.Column, "statistic", m.Statistic, "value", m.Value,
			"threshold", m.Threshold, "n", m.N, "evaluation", m.Evaluation, "action", string(m.Action))
	}
	return nil
}

// at lets a test fail a step.
func (s *Service) at(what string) error {
	if s.step == nil {
		return nil
	}
	return s.step(what)
}

// models returns the models that have predictions.
func (s *Service) models(ctx context.Context) ([]string, error) {
	for n := 0; ; n++ {
		names, err := s.modelsOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return names, err
		}
		s.log.Warn("models cannot be listed, trying again", "err", err)
		t := time.NewTimer(min(time.Second, 50*time.Millisecond<<min(n, 8)))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}

func (s *Service) modelsOnce(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stream, err := s.cfg.Bus.JetStream().Stream(ctx, string(events.Predictions))
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", events.Predictions, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.cfg.filter(events.TypePredictionMade)))
	if err != nil {
		return nil, fmt.Errorf("list subjects of %s: %w", events.Predictions, err)
	}
	var names []string
	for subject := range info.State.Subjects {
		if _, model, err := events.ParseSubject(subject); err == nil {
			names = append(names, model)
		}
	}
	return names, nil
}

// readiness sets the health check once all of its parts are ready.
type readiness struct {
	health *app.Health
	mu     sync.Mutex
	open   map[string]bool
}

const checkName = "drift"

func newReadiness(h *app.Health, parts ...string) *readiness {
	r := &readiness{health: h, open: map[string]bool{}}
	for _, p := range parts {
		r.open[p] = true
	}
	h.Set(checkName, false, "reading the streams")
	return r
}

func (r *readiness) done(part string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, part)
	if len(r.open) == 0 {
		r.health.Set(checkName, true, "")
	}
}
