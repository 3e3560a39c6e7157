package tracking

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/filter"
)

// DefaultArtifactRoot starts the URIs of files that go through the registry's artifact proxy.
const DefaultArtifactRoot = "mlflow-artifacts:"

// Config says what a book needs. Bus and Source are required; the zero value of the others is usable.
type Config struct {
	Bus *bus.Bus
	// Log takes what a person should see; none by default.
	Log *slog.Logger
	// Source names this process in the events that it stores, for instance "registry/host-1".
	Source string
	// Now is the clock of events; time.Now by default.
	Now func() time.Time
	// Metrics, if set, gets the book's metrics.
	Metrics prometheus.Registerer
	// ArtifactRoot starts the URI of every experiment that names no place of its own; DefaultArtifactRoot by default.
	ArtifactRoot string
}

// Validate returns an error that names what is missing.
func (c Config) Validate() error {
	if c.Bus == nil || c.Source == "" {
		return errors.New("tracking: bus and source are required")
	}
	return nil
}

// Book is what was tracked. Make one with New and run it with Run. Its methods are safe for concurrent use, and what they return is the caller's own.
// Their errors are [*fault.Error].
type Book struct {
	bus    *bus.Bus
	log    *slog.Logger
	source string
	now    func() time.Time

	state  *state
	locks  locks
	fresh  refresher
	marks  map[events.Stream]*mark
	frozen atomic.Pointer[freezer]
	nonce  string // of this process, in event ids
	count  atomic.Uint64
	// searchCost is what one search may cost, in units of a [filter.Budget].
	searchCost int64

	ready   chan struct{}
	caught  [2]sync.Once
	waiting atomic.Int32 // followers that have not caught up
}

// New returns a book that follows nothing before Run.
func New(c Config) (*Book, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	nonce, err := randomHex(8)
	if err != nil {
		return nil, fmt.Errorf("tracking: %w", err)
	}
	b := &Book{bus: c.Bus, log: c.Log, source: c.Source, now: c.Now, nonce: nonce, searchCost: filter.MaxCost, ready: make(chan struct{}),
		state: newState(cmp.Or(c.ArtifactRoot, DefaultArtifactRoot)),
		marks: map[events.Stream]*mark{events.Tracking: newMark(), events.Lifecycle: newMark()}}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.now == nil {
		b.now = time.Now
	}
	b.waiting.Store(int32(len(b.caught)))
	b.locks = newLocks()
	b.fresh.ask = b.lastSequences
	b.fresh.ctx, b.fresh.stop = context.WithCancel(context.Background())
	if err := b.register(c.Metrics); err != nil {
		return nil, fmt.Errorf("tracking: register metrics: %w", err)
	}
	return b, nil
}

// Run folds both streams and follows them until ctx ends; then it returns nil. It is called once; after it the book answers nothing but fault.Unavailable.
func (b *Book) Run(ctx context.Context) error {
	defer b.fresh.close()
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range []events.Stream{events.Tracking, events.Lifecycle} {
		g.Go(func() error {
			if err := b.followStream(ctx, s, &b.caught[i]); err != nil {
				return fmt.Errorf("follow %s: %w", s, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Ready is closed once everything is folded that was stored when Run began.
func (b *Book) Ready() <-chan struct{} { return b.ready }

// SetFrozen sets what says of a path whether its files are part of a registered version: nothing is stored or removed there. refresh, which may be
// nil, is called once before each change, so that what another process registered counts. Neither may call the book.
func (b *Book) SetFrozen(refresh func(context.Context) error, frozen func(path string) bool) {
	b.frozen.Store(&freezer{refresh, frozen})
}

// freezer says which files may not change.
type freezer struct {
	refresh func(context.Context) error
	frozen  func(path string) bool
}

// refreshFrozen makes isFrozen know all that was registered before.
func (b *Book) refreshFrozen(ctx context.Context) error {
	f := b.frozen.Load()
	if f == nil || f.refresh == nil {
		return nil
	}
	if err := f.refresh(ctx); err != nil {
		return wrap("look for registered versions", err)
	}
	return nil
}

// isFrozen reports whether files of a path may not change.
func (b *Book) isFrozen(path string) bool {
	f := b.frozen.Load()
	return f != nil && f.frozen(path)
}
