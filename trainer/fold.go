package trainer

import (
	"fmt"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// fold is what the streams say about one model. Messages are applied in stream order, each stream by one goroutine; applying a message twice
// changes nothing. Safe for concurrent use.
type fold struct {
	mu      sync.Mutex
	changed chan struct{} // closed and renewed at each change

	position   map[events.Stream]uint64
	caughtUp   map[events.Stream]bool
	production Production
	started    *OpenRun // the newest run.started
	startTail  uint64   // the last message on its subject, junk too
	ended      bool     // whether it has an end
	failure    string   // why it failed, empty if it did not
	driftRun   time.Time
	causes     []Cause // all after the mark of started
	skipped    map[uint64]bool
	ticks      map[string]bool
	tickDue    string          // when the last schedule tick said that the next is due
	unschedule uint64          // the junk that took the schedule's place, 0 if none did
	missed     map[string]bool // ids of the requests that stand for lost ticks
	examples   []exampleMark
	counted    count
}

// count is how many distinct entities the first upto examples have after a prediction; it grows with the examples.
type count struct {
	after    uint64
	upto     int
	entities map[uint64]struct{}
}

// exampleMark is what the decision needs of an example.
type exampleMark struct {
	prediction uint64 // PREDICTIONS sequence
	entity     uint64 // xxhash64 of the entity id, or of the prediction id where it has none
}

func newFold() *fold {
	f := &fold{changed: make(chan struct{})}
	for _, s := range foldedStreams {
		f.reset(s)
	}
	return f
}

var foldedStreams = []events.Stream{events.Lifecycle, events.Causes, events.Training}

// reset forgets what came from a stream, for a stream that was created anew.
func (f *fold) reset(s events.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.position == nil {
		f.position, f.caughtUp = map[events.Stream]uint64{}, map[events.Stream]bool{}
	}
	f.position[s], f.caughtUp[s] = 0, false
	switch s {
	case events.Lifecycle:
		f.production, f.started, f.startTail, f.ended, f.failure, f.driftRun = Production{}, nil, 0, false, "", time.Time{}
	case events.Causes:
		f.causes, f.skipped, f.ticks, f.tickDue, f.unschedule, f.missed = nil, map[uint64]bool{}, map[string]bool{}, "", 0, map[string]bool{}
	case events.Training:
		f.examples, f.counted = nil, count{}
	}
	f.wake()
}

// apply takes one message. Junk is passed over, as others dead-letter it, but for its place: the next run.started must expect it, and the
// server drops a schedule for whatever comes after it on its subject.
func (f *fold) apply(m bus.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.Sequence <= f.position[m.Stream] {
		return
	}
	f.position[m.Stream] = m.Sequence
	kind, _, err := events.ParseSubject(m.Subject)
	switch {
	case err != nil:
	case kind.Type == events.TypeRunStarted:
		f.startTail = m.Sequence
	case kind.Type == events.TypeScheduleRetrain && m.Err != nil:
		f.unschedule = m.Sequence
	case kind.Type == events.TypeScheduleRetrain:
		f.unschedule = 0
	}
	if m.Err == nil {
		f.applyEvent(m)
	}
	f.wake()
}

func (f *fold) applyEvent(m bus.Message) {
	switch p := m.Event.Payload.(type) {
	case *events.ModelPromoted:
		f.production = Production{Version: p.Version, Sequence: m.Sequence}
	case *events.RunStarted:
		f.started, f.ended, f.failure = &OpenRun{RunStarted: *p, Sequence: m.Sequence, At: m.Time}, false, ""
		for _, c := range p.Causes {
			if c.Kind == events.CauseDrift {
				f.driftRun = m.Time
			}
		}
	case *events.RunCompleted:
		f.end(p.RunID, "")
	case *events.RunFailed:
		f.end(p.RunID, fmt.Sprintf("in step %s: %s", p.Step, p.Reason))
	case *events.DriftAlert:
		if p.Action == events.ActionRetrain {
			f.causes = append(f.causes, Cause{At: m.Time, Alert: p, Cause: events.Cause{Kind: events.CauseDrift, Sequence: m.Sequence,
				EventID: m.Event.ID, Detail: describeAlert(p)}})
		}
	case *events.RetrainRequested:
		c := Cause{At: m.Time, TargetStage: p.TargetStage, Cause: events.Cause{Kind: events.CauseRequested, Sequence: m.Sequence,
			EventID: m.Event.ID, Detail: p.Reason}}
		if key, ok := events.ScheduleKey(m.Header); ok {
			c.Kind, c.TickKey, c.EventID = events.CauseSchedule, key, key
			f.tickDue = m.Header.Get(events.HeaderScheduleDue)
		}
		if p.Actor == scheduleActor {
			f.missed[m.Event.ID] = true
		}
		f.causes = append(f.causes, c)
	case *events.RetrainSkipped:
		f.skipped[p.Sequence] = true
	case *events.ExampleJoined:
		id := p.EntityID
		if id == "" {
			id = p.PredictionID
		}
		f.examples = append(f.examples, exampleMark{p.PredictionsSequence, xxhash.Sum64String(id)})
	}
}

func (f *fold) end(runID, failure string) {
	if f.started != nil && f.started.RunID == runID {
		f.ended, f.failure = true, failure
	}
}

func describeAlert(p *events.DriftAlert) string {
	return fmt.Sprintf("%s of %s is %.3g, over %.3g, on %d rows of version %d", p.Statistic, p.Column, p.Value, p.Threshold, p.N, p.Version)
}

// setCaughtUp notes that everything stored when the fold began has been applied.
func (f *fold) setCaughtUp(s events.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.caughtUp[s] = true
	f.wake()
}

// wake must be called with mu held.
func (f *fold) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait returns a channel that is closed at the next change.
func (f *fold) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// ready reports whether every stream was read up to its end once.
func (f *fold) ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range foldedStreams {
		if !f.caughtUp[s] {
			return false
		}
	}
	return true
}

// at returns the sequence of the last message applied from a stream.
func (f *fold) at(s events.Stream) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.position[s]
}

// state returns the fold's part of what [Decide] looks at.
func (f *fold) state() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := State{Production: f.production, LastDriftRun: f.driftRun, Ticks: map[string]bool{}, NewRows: f.newRows}
	var mark uint64
	if f.started != nil {
		mark = f.started.CausesThrough
		s.Last = &LastRun{DatasetFingerprint: f.started.DatasetFingerprint, SpecDigest: f.started.SpecDigest, Failure: f.failure}
		if !f.ended {
			open := *f.started
			s.Open = &open
		}
	}
	s.Mark, s.StartTail = mark, f.startTail
	for _, c := range f.causes {
		switch {
		case c.Sequence <= mark && c.TickKey != "":
			s.Ticks[c.TickKey] = true
		case c.Sequence > mark && !f.skipped[c.Sequence]:
			s.Pending = append(s.Pending, c)
		}
	}
	return s
}

// startedSequence returns the last sequence on run.started, 0 if there is none: what the next one expects.
func (f *fold) startedSequence() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.startTail
}

// unscheduled returns the sequence of the junk that stands where the schedule stood, 0 if there is none.
func (f *fold) unscheduled() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unschedule
}

// newRows returns the number of distinct entities with an example predicted after a sequence. Asked again for the same sequence it looks only at
// the examples that came since.
func (f *fold) newRows(after uint64) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &f.counted
	if c.after != after || c.entities == nil {
		*c = count{after: after, entities: map[uint64]struct{}{}}
	}
	for _, e := range f.examples[c.upto:] {
		if e.prediction > after {
			c.entities[e.entity] = struct{}{}
		}
	}
	c.upto = len(f.examples)
	return len(c.entities)
}

// asked reports whether a request with this id stands in the stream.
func (f *fold) asked(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missed[id]
}

// missedTick returns when a schedule's tick was due that never came, and false if none is missing at now.
func (f *fold) missedTick(now time.Time, grace time.Duration) (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	due, err := time.Parse(time.RFC3339, f.tickDue)
	return due, err == nil && now.Sub(due) > grace
}
