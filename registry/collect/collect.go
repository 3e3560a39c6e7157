package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/tracking"
)

// Defaults of Config.
const (
	DefaultOlderThan = artifact.MinDeleteAge
	DefaultHistory   = 90 * 24 * time.Hour
)

// deletions is how many objects are deleted at a time.
const deletions = 8

var (
	// ErrIncomplete is returned when the streams can't say what points to objects. Nothing was changed.
	ErrIncomplete = errors.New("the streams don't tell everything")
	// ErrForeign is returned when the streams know no object of a store that has some. Nothing was changed.
	ErrForeign = errors.New("the store is of another loop")
)

// Config says what to collect. Bus, Store and Log are required; the store must be an artifact.Lister and artifact.Deleter, as
// all of this project are.
type Config struct {
	Bus   *bus.Bus
	Store artifact.Store
	Log   *slog.Logger
	// OlderThan is how long ago an object must have been stored, and the last thing that pointed to it gone: DefaultOlderThan when
	// 0, which is also the least.
	OlderThan time.Duration
	// History is how long ago a version must have left Production to be given up once it is deleted; DefaultHistory when 0.
	History time.Duration
	// DryRun changes nothing and reports what would be done.
	DryRun bool
	// Actor stands in the events that take files out of deleted runs; "gc" when empty.
	Actor string
	// Now is the clock; nil means that of the NATS server, which also dates the events and the objects on JetStream: an operator's own may be
	// wrong by more than an object's age.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.OlderThan == 0 {
		c.OlderThan = DefaultOlderThan
	}
	if c.History == 0 {
		c.History = DefaultHistory
	}
	if c.Actor == "" {
		c.Actor = "gc"
	}
	return c
}

// Validate returns every fault of the configuration at once, or nil.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("collect config: "+format, args...))
		}
	}
	need(c.Bus != nil, "bus is required")
	need(c.Log != nil, "log is required")
	_, lists := c.Store.(artifact.Lister)
	_, deletes := c.Store.(artifact.Deleter)
	need(lists && deletes, "the store must be able to list and to delete")
	need(c.OlderThan == 0 || c.OlderThan >= artifact.MinDeleteAge,
		"objects younger than %s are never taken: an upload may not have been named yet; is %s", artifact.MinDeleteAge, c.OlderThan)
	need(c.History >= 0, "history must not be negative, is %s", c.History)
	return errors.Join(faults...)
}

// Count is a number of objects or files and their sizes together.
type Count struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

func (c *Count) add(size int64) {
	c.Objects++
	c.Bytes += size
}

// Garbage is an object that nothing points to.
type Garbage struct {
	artifact.Ref
	Modified time.Time `json:"modified"`
}

// Report says what a collection found and did.
type Report struct {
	DryRun bool `json:"dry_run"`
	// Stored is everything in the store when it was listed.
	Stored Count `json:"stored"`
	// Kept says why the rest is kept.
	Kept map[Class]Count `json:"kept"`
	// Garbage is what nothing points to, sorted by digest; Deleted how much of it this collection removed: nothing in a dry run, and less
	// than all after an error, or if somebody stored it again or another collection was faster.
	Garbage []Garbage `json:"garbage"`
	Deleted Count     `json:"deleted"`
	// Expired are the files that were taken (in a dry run: would be) out of deleted runs and logged models, but for those of an owner that was
	// restored or registered from in the same moment, which stay. Their objects go with a later collection.
	Expired Count `json:"expired"`
	// Lifecycle and Tracking are the sequences through which the streams were folded.
	Lifecycle uint64 `json:"lifecycle_sequence"`
	Tracking  uint64 `json:"tracking_sequence"`
}

// Size is the garbage's number and size.
func (r Report) Size() Count {
	var c Count
	for _, g := range r.Garbage {
		c.add(g.Size)
	}
	return c
}

// Collect removes what nothing points to; see the package. With an error the report says what was done before it. Any number of
// collections may run at once, beside everything else.
func Collect(ctx context.Context, c Config) (Report, error) {
	report := Report{DryRun: c.DryRun, Kept: map[Class]Count{}, Garbage: []Garbage{}}
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return report, err
	}
	if err := c.collect(ctx, &report); err != nil {
		return report, fmt.Errorf("collect garbage of %s: %w", c.Store, err)
	}
	return report, nil
}

func (c Config) collect(ctx context.Context, report *Report) error {
	now, err := c.clock(ctx)
	if err != nil {
		return err
	}
	cutoff := now.Add(-c.OlderThan)
	var objects []Garbage
	err = c.Store.(artifact.Lister).List(ctx, func(ref artifact.Ref, modified time.Time) error {
		objects = append(objects, Garbage{ref, modified})
		report.Stored.add(ref.Size)
		return nil
	})
	if err != nil {
		return err
	}
	r := newReach()
	if report.Lifecycle, err = c.fold(ctx, r, events.Lifecycle); err != nil {
		return err
	}
	if report.Tracking, err = c.fold(ctx, r, events.Tracking); err != nil {
		return err
	}
	m := r.mark(now, c.OlderThan, c.History)
	if err := report.sort(objects, m, cutoff); err != nil {
		return err
	}
	for _, e := range m.expired {
		for _, f := range e.files {
			report.Expired.add(f.Size)
		}
	}
	if c.DryRun {
		return nil
	}
	if err := c.expire(ctx, r, m.expired, report.Tracking, now); err != nil {
		return err
	}
	return c.delete(ctx, report, cutoff)
}

// sort divides the objects into kept and garbage.
func (r *Report) sort(objects []Garbage, m marks, cutoff time.Time) error {
	known := 0
	for _, o := range objects {
		class, kept := m.kept[o.Digest]
		switch {
		case kept:
			known++
		case o.Modified.After(cutoff):
			class = KeptRecent
		default:
			r.Garbage = append(r.Garbage, o)
			continue
		}
		count := r.Kept[class]
		count.add(o.Size)
		r.Kept[class] = count
	}
	if known == 0 && len(r.Garbage) > 0 && len(m.kept) == 0 {
		return fmt.Errorf("%w: it holds %d objects and the streams point to none", ErrForeign, len(objects))
	}
	if known == 0 && len(r.Garbage) > 0 {
		return fmt.Errorf("%w: of its %d objects none is among the %d that the streams point to", ErrForeign, len(objects), len(m.kept))
	}
	slices.SortFunc(r.Garbage, func(a, b Garbage) int { return cmp.Compare(a.Digest, b.Digest) })
	return nil
}

// clock returns the time that ages are measured by.
func (c Config) clock(ctx context.Context) (time.Time, error) {
	if c.Now != nil {
		return c.Now(), nil
	}
	stream, err := c.stream(ctx, events.Lifecycle)
	if err != nil {
		return time.Time{}, err
	}
	now := stream.CachedInfo().TimeStamp
	if now.IsZero() {
		return time.Time{}, fmt.Errorf("%w: the server does not say what time it is", ErrIncomplete)
	}
	return now, nil
}

// stream binds a stream and asks for its state.
func (c Config) stream(ctx context.Context, s events.Stream) (jetstream.Stream, error) {
	stream, err := c.Bus.JetStream().Stream(ctx, string(s))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: there is no stream %s", ErrIncomplete, s)
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", s, err)
	}
	return stream, nil
}

// fold reads a stream from its beginning to what it holds now.
func (c Config) fold(ctx context.Context, r *reach, s events.Stream) (uint64, error) {
	stream, err := c.stream(ctx, s)
	if err != nil {
		return 0, err
	}
	if state := stream.CachedInfo().State; state.FirstSeq > 1 || state.NumDeleted > 0 {
		return 0, fmt.Errorf("%w: %s begins at %d and lacks %d messages", ErrIncomplete, s, state.FirstSeq, state.NumDeleted)
	}
	last, err := c.Bus.LastSequence(ctx, s)
	if err != nil {
		return 0, err
	}
	if last == 0 {
		return 0, nil
	}
	through := uint64(0)
	err = c.Bus.Read(ctx, bus.ReadConfig{Stream: s, Through: last}, func(m bus.Message) error {
		r.apply(m)
		through = m.Sequence
		return nil
	})
	if err == nil && through != last {
		err = fmt.Errorf("%w: %s was read through %d of %d", ErrIncomplete, s, through, last)
	}
	return through, err
}

// expire takes files out of deleted runs and logged models. The event holds the sequence that was decided on, and everybody who folds it takes away
// only what was there then, and nothing of what was restored since; what was registered since is looked for before each. Its key holds the
// sequence, too, so that the same decision made twice is one event.
func (c Config) expire(ctx context.Context, r *reach, expired map[string]*expiry, through uint64, now time.Time) error {
	for _, folder := range slices.Sorted(maps.Keys(expired)) {
		e := expired[folder]
		if len(e.files) == 0 {
			continue
		}
		if err := c.catchUp(ctx, r); err != nil {
			return err
		}
		if slices.ContainsFunc(e.files, func(f tracking.File) bool { return r.catalog.Frozen(f.Path) }) {
			c.Log.Info("files of a deleted owner were registered meanwhile and stay", "folder", folder)
			continue // the next collection knows which
		}
		owner, _ := tracking.OwnerOf(folder)
		for _, path := range e.taken(folder) {
			p := &events.ArtifactStored{Path: path, Removed: true, Through: through, Actor: c.Actor}
			key := "gc/" + strconv.FormatUint(through, 10) + "/" + artifact.DigestOf([]byte(path)).Hex()
			if _, err := c.Bus.Publish(ctx, events.New(owner, c.Bus.Source(), key, now, p)); err != nil {
				return fmt.Errorf("take %s out of what was deleted: %w", path, err)
			}
		}
	}
	return nil
}

// catchUp folds what was stored on LIFECYCLE since.
func (c Config) catchUp(ctx context.Context, r *reach) error {
	last, err := c.Bus.LastSequence(ctx, events.Lifecycle)
	if err != nil {
		return err
	}
	from := r.catalog.Through() + 1
	if last < from {
		return nil
	}
	return c.Bus.Read(ctx, bus.ReadConfig{Stream: events.Lifecycle, From: from, Through: last}, func(m bus.Message) error {
		r.apply(m)
		return nil
	})
}

// delete removes the garbage that is still as old. It ends at the first error that is no answer of the store about one object.
func (c Config) delete(ctx context.Context, report *Report, cutoff time.Time) error {
	var mu sync.Mutex
	g, own := errgroup.WithContext(ctx)
	g.SetLimit(deletions)
	for _, o := range report.Garbage {
		if own.Err() != nil {
			break
		}
		g.Go(func() error {
			err := c.Store.(artifact.Deleter).Delete(own, o.Digest, cutoff)
			switch {
			case errors.Is(err, artifact.ErrRecent), errors.Is(err, artifact.ErrNotFound):
				c.Log.Debug("not deleted", "digest", string(o.Digest), "err", err)
				return nil
			case err != nil:
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			report.Deleted.add(o.Size)
			return nil
		})
	}
	err := g.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// Pointed returns every object that something points to now, with the first class that does; the history of Production, which may have been
// deleted, is left out. It reads the streams from their beginning; what they lost is not noticed.
func Pointed(ctx context.Context, b *bus.Bus) (map[artifact.Digest]Class, error) {
	r := newReach()
	for _, s := range []events.Stream{events.Lifecycle, events.Tracking} {
		err := b.Read(ctx, bus.ReadConfig{Stream: s}, func(m bus.Message) error {
			r.apply(m)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("find what is pointed to: %w", err)
		}
	}
	m := r.mark(time.Now(), 0, 0)
	maps.DeleteFunc(m.kept, func(_ artifact.Digest, c Class) bool { return c == KeptReleased || c == KeptUnread })
	return m.kept, nil
}
