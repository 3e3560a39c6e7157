package drift

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

const (
	// labelsInHand bounds the labels that wait for their prediction.
	labelsInHand = 10_000
	// indexPatience is how long the handler of a label waits for the index to reach the end of PREDICTIONS before it gives the label back.
	indexPatience = 2 * time.Second
)

var (
	errNoPrediction = errors.New("no prediction yet")
	errIndexBehind  = errors.New("index of predictions is behind")
)

// joiner joins labels with predictions. Two goroutines: one follows PREDICTIONS from the first message and keeps the index, the other consumes LABELS.
type joiner struct {
	s *Service

	mu      sync.Mutex
	models  map[string]*predictionIndex
	at      uint64 // PREDICTIONS sequence up to which the index knows everything
	atTime  time.Time
	changed chan struct{} // closed at the next message, where someone waits

	caughtUp chan struct{}
	once     sync.Once

	ackWait time.Duration // 0 means the bus's default

	// used only by the consumer of LABELS
	outcomes map[uint64]bool        // of each prediction that has one, by hash of model and id
	labels   map[uint64]joinedLabel // by LABELS sequence, the newest of each
}

// joinedLabel tells a label from another one that has its sequence because LABELS was created anew in between.
type joinedLabel struct {
	observed           int64  // Unix nanoseconds: what the label says, or when it was stored
	prediction, entity uint64 // as of keyOf
}

func newJoiner(s *Service) *joiner {
	j := &joiner{s: s, models: map[string]*predictionIndex{}, caughtUp: make(chan struct{}), outcomes: map[uint64]bool{}, labels: map[uint64]joinedLabel{}}
	s.examples.seen = j.remember
	return j
}

func (j *joiner) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return j.follow(ctx) })
	g.Go(func() error {
		if err := j.s.examples.load(ctx); err != nil {
			return fmt.Errorf("read examples: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-j.caughtUp:
		}
		j.s.ready.done("labels")
		return j.consume(ctx)
	})
	return g.Wait()
}

// remember is called by the ledger of examples with each of them, and so by the goroutine that consumes LABELS, or before it starts.
func (j *joiner) remember(m bus.Message) {
	p, ok := m.Event.Payload.(*events.ExampleJoined)
	if !ok {
		return
	}
	prediction := keyOf(m.Event.Model, p.PredictionID)
	j.outcomes[prediction] = p.Observed
	if p.LabelsSequence > 0 {
		j.labels[p.LabelsSequence] = joinedLabel{p.ObservedAt.UnixNano(), prediction, keyOf(m.Event.Model, p.EntityID)}
	}
}

// joined reports whether this very label has joined a prediction.
func (j *joiner) joined(m bus.Message, p *events.LabelObserved, observed time.Time) bool {
	l, ok := j.labels[m.Sequence]
	if !ok || l.observed != observed.UnixNano() {
		return false
	}
	if p.PredictionID != "" {
		return l.prediction == keyOf(m.Event.Model, p.PredictionID)
	}
	return l.entity == keyOf(m.Event.Model, p.EntityID)
}

// keyOf hashes the id of a prediction or an entity.
func keyOf(model, id string) uint64 {
	return xxhash.Sum64String(model + "\x00" + id)
}

// follow keeps the index. Junk only moves its position: the follower of the windows dead-letters it.
func (j *joiner) follow(ctx context.Context) error {
	return j.s.cfg.Bus.Follow(ctx, bus.FollowConfig{
		Name: "drift-index", Stream: events.Predictions, Filters: []string{j.s.cfg.filter(events.TypePredictionMade)},
		OnCaughtUp: func() { j.once.Do(func() { close(j.caughtUp) }) },
		OnReset: func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.models, j.at, j.atTime = map[string]*predictionIndex{}, 0, time.Time{}
		},
	}, func(_ context.Context, m bus.Message) error {
		j.index(m)
		return nil
	})
}

func (j *joiner) index(m bus.Message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p, ok := m.Event.Payload.(*events.PredictionMade); ok {
		x := j.models[m.Event.Model]
		if x == nil {
			x = newPredictionIndex(j.s.cfg.IndexSize)
			j.models[m.Event.Model] = x
		}
		at := m.Event.Time
		if at.IsZero() {
			at = m.Time
		}
		x.add(p.PredictionID, p.EntityID, at, m.Sequence)
	}
	j.at, j.atTime = m.Sequence, m.Time
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

func (j *joiner) consume(ctx context.Context) error {
	c, err := j.s.cfg.consumer("drift-labels", events.Labels, events.TypeLabelObserved)
	if err != nil {
		return err
	}
	c.MaxAckPending, c.AckWait = labelsInHand, j.ackWait
	return j.s.cfg.Bus.Consume(ctx, c, j.handle)
}

// handle joins one label. Every way out is counted; a permanent error is a label that no prediction can ever take.
func (j *joiner) handle(ctx context.Context, m bus.Message) error {
	err := j.take(ctx, m)
	if bus.IsPermanent(err) {
		j.count(labelDead, m)
	}
	return err
}

func (j *joiner) take(ctx context.Context, m bus.Message) error {
	if m.Deliveries > 1 { // another process may have joined it and died before the ack
		if err := j.s.examples.refresh(ctx, m.Event.Model); err != nil {
			return err
		}
	}
	p := m.Event.Payload.(*events.LabelObserved)
	observed := p.ObservedAt
	if observed.IsZero() {
		observed = m.Time
	}
	if j.joined(m, p, observed) {
		return j.done(labelDuplicate, m)
	}
	seq, err := j.find(ctx, m, p, observed)
	if errors.Is(err, errNoPrediction) {
		if j.s.cfg.Now().Sub(m.Time) >= j.s.cfg.Early {
			return j.done(labelUnmatched, m)
		}
		return bus.RetryAfter(err, j.patience(m.Deliveries))
	}
	if err != nil {
		return err
	}
	return j.join(ctx, m, p, observed, seq)
}

// patience spreads few tries over Config.Early: the label waits, nothing is wrong yet.
func (j *joiner) patience(deliveries uint64) time.Duration {
	return max(10*time.Millisecond, j.s.cfg.Early>>max(1, 9-2*int(min(deliveries, 4))))
}

// find returns the position of the label's prediction, or errNoPrediction if none is stored.
func (j *joiner) find(ctx context.Context, m bus.Message, p *events.LabelObserved, observed time.Time) (uint64, error) {
	if p.PredictionID != "" {
		if seq, ok := j.byID(m.Event.Model, p.PredictionID); ok {
			return seq, nil
		}
		if err := j.reach(ctx, m); err != nil {
			return 0, err
		}
		if seq, ok := j.byID(m.Event.Model, p.PredictionID); ok {
			return seq, nil
		}
		return 0, errNoPrediction
	}
	if err := j.reach(ctx, m); err != nil {
		return 0, err
	}
	newest, ok := j.newest(m.Event.Model, p.EntityID)
	if !ok {
		return 0, errNoPrediction
	}
	// The horizon is the spec's under which the entity was predicted last.
	_, made, err := j.read(ctx, m.Event.Model, newest)
	if err != nil {
		return 0, err
	}
	if made == nil {
		return newest, nil
	}
	ref, err := j.reference(ctx, m, made)
	if err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if x := j.models[m.Event.Model]; x != nil {
		if seq, ok := x.match(p.EntityID, observed, ref.Spec.Labels); ok {
			return seq, nil
		}
	}
	return 0, errNoPrediction
}

func (j *joiner) byID(model, id string) (uint64, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x := j.models[model]; x != nil {
		return x.prediction(id)
	}
	return 0, false
}

func (j *joiner) newest(model, entity string) (uint64, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x := j.models[model]; x != nil {
		return x.newest(entity)
	}
	return 0, false
}

// reach waits until the index knows every prediction of the model that was stored before the label.
func (j *joiner) reach(ctx context.Context, m bus.Message) error {
	j.mu.Lock()
	there := j.atTime.After(m.Time)
	j.mu.Unlock()
	if there {
		return nil
	}
	last, ok, err := j.s.cfg.Bus.Last(ctx, events.TypePredictionMade, m.Event.Model)
	if err != nil || !ok {
		return err
	}
	timeout := time.NewTimer(indexPatience)
	defer timeout.Stop()
	for {
		j.mu.Lock()
		if j.at >= last.Sequence {
			j.mu.Unlock()
			return nil
		}
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		changed := j.changed
		j.mu.Unlock()
		select {
		case <-changed:
		case <-timeout.C:
			return bus.RetryAfter(errIndexBehind, indexPatience)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reference returns what a label's prediction was served under. That it cannot be used is permanent once it is believed: labels that wait for a
// bundle to come back would in the end keep those of all models waiting. Who brings it back retries the dead letters.
func (j *joiner) reference(ctx context.Context, m bus.Message, made *events.PredictionMade) (*Reference, error) {
	ref, err := j.s.refs.load(ctx, m.Event.Model, made.PromotionSequence)
	if errors.Is(err, errUnusable) {
		return nil, bus.Permanent(fmt.Errorf("label of prediction %s: %w", made.PredictionID, err))
	}
	return ref, err
}

// read returns a stored prediction, nil if it is there no more.
func (j *joiner) read(ctx context.Context, model string, seq uint64) (bus.Message, *events.PredictionMade, error) {
	m, ok, err := j.s.cfg.Bus.Get(ctx, events.Predictions, seq)
	if err != nil || !ok || m.Err != nil || m.Event.Model != model {
		return bus.Message{}, nil, err
	}
	p, _ := m.Event.Payload.(*events.PredictionMade)
	return m, p, nil
}

// join writes the example of a prediction, unless the prediction has an outcome: the first one stays.
func (j *joiner) join(ctx context.Context, m bus.Message, p *events.LabelObserved, observed time.Time, seq uint64) error {
	stored, made, err := j.read(ctx, m.Event.Model, seq)
	if err != nil {
		return err
	}
	if made == nil {
		return j.done(labelExpired, m)
	}
	if p.PredictionID != "" && made.PredictionID != p.PredictionID {
		return j.done(labelUnmatched, m) // two ids of one hash
	}
	if err := j.s.refs.check(ctx, m.Event.Model, served{made.PromotionSequence, made.Version, made.Arm}); err != nil {
		return err
	}
	ref, err := j.reference(ctx, m, made)
	if err != nil {
		return err
	}
	value, ok := ref.Schema.ParseLabel(string(p.Outcome))
	if !ok {
		return bus.Permanent(fmt.Errorf("outcome %.40q is neither %s nor %s", string(p.Outcome), ref.Schema.Positive(), ref.Schema.Negative()))
	}
	key := keyOf(m.Event.Model, made.PredictionID)
	if former, has := j.outcomes[key]; has {
		if former == (value == 1) {
			return j.done(labelDuplicate, m)
		}
		return j.done(labelCorrection, m)
	}
	at := stored.Event.Time
	if at.IsZero() {
		at = stored.Time
	}
	example := &events.ExampleJoined{
		PredictionID: made.PredictionID, EntityID: made.EntityID, Version: made.Version, PromotionSequence: made.PromotionSequence,
		PredictionsSequence: seq, Record: made.Record, Score: made.Score, Threshold: made.Threshold, Predicted: made.Positive,
		Observed: value == 1, PredictedAt: at.UTC(), ObservedAt: observed.UTC(), LabelsSequence: m.Sequence, Arm: made.Arm,
	}
	if err := j.s.at("example"); err != nil {
		return err
	}
	ev := events.New(m.Event.Model, j.s.cfg.Bus.Source(), made.PredictionID, j.s.cfg.Now(), example)
	written, err := j.s.examples.once(ctx, ev)
	if err != nil {
		return err
	}
	if err := j.s.at("joined"); err != nil {
		return err
	}
	if !written {
		return j.done(labelDuplicate, m) // by another process, a moment ago
	}
	return j.done(labelJoined, m)
}

// done counts how a label ended and returns nil.
func (j *joiner) done(outcome string, m bus.Message) error {
	j.count(outcome, m)
	return nil
}

func (j *joiner) count(outcome string, m bus.Message) {
	j.s.metrics.labels.WithLabelValues(outcome).Inc()
	j.s.status.label(m.Event.Model, outcome)
}
