package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// refusedBy starts the names of the consumers whose dead letters are refused runs.
const refusedBy = "registry-"

func recordOf(m bus.Message) Record {
	return Record{Sequence: m.Sequence, Time: m.Time, Subject: m.Subject, Event: m.Event, Err: m.Err}
}

// ledger is a catalog and a fleet that several goroutines feed and read.
type ledger struct {
	bus     *bus.Bus
	mu      sync.RWMutex
	catalog *Catalog
	fleet   *Fleet
	// following is true while a follower brings the catalog every message of LIFECYCLE; grown is closed, and made anew, when it did.
	following bool
	grown     chan struct{}
	champion  string
	spec      string
}

func newLedger(b *bus.Bus) *ledger {
	return &ledger{bus: b, catalog: NewCatalog(), fleet: NewFleet(), grown: make(chan struct{}), champion: DefaultChampion}
}

// errGap says that messages are missing before this one. LIFECYCLE has no gaps, as nothing can be deleted there; refresh reads them.
var errGap = errors.New("messages are missing before this one")

// apply folds a message of LIFECYCLE, FLEET or DEADLETTER. The error is Catalog.Apply's, or errGap and nothing was folded.
func (l *ledger) apply(m bus.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch m.Stream {
	case events.Lifecycle:
		if through := l.catalog.Through(); through > 0 && m.Sequence > through+1 {
			return errGap
		}
		defer l.grow()
		return l.catalog.Apply(recordOf(m))
	case events.Fleet:
		l.fleet.Apply(recordOf(m))
	case events.Dead:
		l.refused(m)
	}
	return nil
}

// grow wakes those who wait for the follower. It is called with the lock held.
func (l *ledger) grow() {
	close(l.grown)
	l.grown = make(chan struct{})
}

// follow says whether a follower keeps the catalog up to date from now on.
func (l *ledger) follow(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.following = yes
	l.grow()
}

// refused reads a dead letter; one that is not ours to read is somebody else's, and no error.
func (l *ledger) refused(m bus.Message) {
	var d events.DeadLetter
	if err := json.Unmarshal(m.Data, &d); err != nil || d.Stream != string(events.Lifecycle) || len(d.Consumer) < len(refusedBy) {
		return
	}
	if d.Consumer[:len(refusedBy)] == refusedBy {
		l.catalog.Refuse(d.Sequence, d.Reason)
	}
}

// view gives fn the folds to read. It must neither keep nor change them, nor block.
func (l *ledger) view(fn func(*Catalog, *Fleet)) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	fn(l.catalog, l.fleet)
}

// reset starts anew, for a stream that was created again.
func (l *ledger) reset(s events.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s {
	case events.Lifecycle:
		l.catalog = NewCatalog()
		l.catalog.Champion, l.catalog.Spec, l.following = l.champion, l.spec, false
	case events.Fleet:
		l.fleet = NewFleet()
	}
}

// followerTime is how long a refresh waits for the follower before it reads for itself.
const followerTime = time.Second

// refresh folds LIFECYCLE up to the last sequence that its leader knows now, so that what is decided next rests on all that was stored
// before. It waits for the follower, where there is one, and reads by itself if that is late. It retries while the store is away, until ctx ends.
func (l *ledger) refresh(ctx context.Context) error {
	last, err := l.bus.LastSequence(ctx, events.Lifecycle)
	if err != nil {
		return fmt.Errorf("refresh catalog: %w", err)
	}
	if l.await(ctx, last) {
		return nil
	}
	return l.read(ctx, last)
}

// read folds LIFECYCLE up to a sequence by itself.
func (l *ledger) read(ctx context.Context, last uint64) error {
	l.mu.RLock()
	into, through := l.catalog, l.catalog.Through()
	l.mu.RUnlock()
	if last <= through { // less: the follower was faster than the answer. A stream that was created again is the follower's to notice.
		return nil
	}
	err := l.bus.Read(ctx, bus.ReadConfig{Stream: events.Lifecycle, From: through + 1, Through: last}, func(m bus.Message) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.catalog != into {
			return errReset
		}
		_ = into.Apply(recordOf(m)) // contradictions are kept in the catalog and reported by the consumer of all facts
		l.grow()
		return nil
	})
	if err != nil {
		return fmt.Errorf("refresh catalog: %w", err)
	}
	return nil
}

// await waits until the follower has folded a sequence, and reports whether it has, soon enough.
func (l *ledger) await(ctx context.Context, last uint64) bool {
	var late <-chan time.Time
	for {
		l.mu.RLock()
		done, following, grown := l.catalog.Through() >= last, l.following, l.grown
		l.mu.RUnlock()
		if done || !following {
			return done
		}
		if late == nil {
			timer := time.NewTimer(followerTime)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-grown:
		case <-late:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// errReset ends a refresh whose catalog was thrown away meanwhile; the next one starts from the new one.
var errReset = errors.New("stream was created again")

// LoadCatalog folds LIFECYCLE as it stands now, with the refused runs among the dead letters. The catalog is the caller's own and does not follow.
func LoadCatalog(ctx context.Context, b *bus.Bus) (*Catalog, error) {
	l := newLedger(b)
	if err := l.refresh(ctx); err != nil {
		return nil, err
	}
	err := b.Read(ctx, bus.ReadConfig{Stream: events.Dead, Filters: []string{deadFilter}}, l.apply)
	if err != nil {
		return nil, fmt.Errorf("read refused runs: %w", err)
	}
	return l.catalog, nil
}

// deadFilter is where refused runs are found.
const deadFilter = events.DeadPrefix + "." + string(events.Lifecycle) + ".>"

// fleetTail is how many of the last messages of FLEET are read whatever they are. Of older ones loads and failed loads are, and what was measured in
// the measuredTail before: counts grow within a boot, so that only what instances that are gone counted before that is missing from a watch.
const (
	fleetTail    = 5000
	measuredTail = 20_000
)

// LoadFleet folds FLEET as it stands now: every load and failed load, and the signs of life among the last 5,000 messages.
func LoadFleet(ctx context.Context, b *bus.Bus) (*Fleet, error) {
	l := newLedger(b)
	last, err := l.loads(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.Read(ctx, bus.ReadConfig{Stream: events.Fleet, From: last + 1}, l.apply); err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	return l.fleet, nil
}

// loads folds the older loads and failed loads and returns the sequence through which that was done.
func (l *ledger) loads(ctx context.Context) (uint64, error) {
	last, err := l.bus.LastSequence(ctx, events.Fleet)
	if err != nil || last <= fleetTail {
		return 0, err
	}
	filters := []string{events.WildcardOf(events.TypeModelLoaded), events.WildcardOf(events.TypeModelLoadFailed)}
	err = l.bus.Read(ctx, bus.ReadConfig{Stream: events.Fleet, Filters: filters, Through: last - fleetTail}, l.apply)
	if err != nil {
		return 0, fmt.Errorf("read loads: %w", err)
	}
	from := uint64(1)
	if last > fleetTail+measuredTail {
		from = last - fleetTail - measuredTail
	}
	filters = []string{events.WildcardOf(events.TypeServingMeasured)}
	err = l.bus.Read(ctx, bus.ReadConfig{Stream: events.Fleet, Filters: filters, From: from, Through: last - fleetTail}, l.apply)
	if err != nil {
		return 0, fmt.Errorf("read measurements: %w", err)
	}
	return last - fleetTail, nil
}
