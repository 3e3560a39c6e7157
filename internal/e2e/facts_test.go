package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// connect joins a server as a reader of the streams. It provisions nothing: that is for the services to do.
func connect(t *testing.T, url string) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := bus.Connect(ctx, bus.Config{URL: url, Name: "test", Source: "test/local", StoreBytes: storeBytes})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Logf("close bus: %v", err)
		}
	})
	return b
}

// read calls fn with each message of a stream as it stands now.
func read(t *testing.T, b *bus.Bus, s events.Stream, fn func(bus.Message)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	require.NoError(t, b.Read(ctx, bus.ReadConfig{Stream: s}, func(m bus.Message) error {
		fn(m)
		return nil
	}))
}

type promotion struct {
	events.ModelPromoted
	sequence uint64
}

// facts is LIFECYCLE as it stands, in the order of the stream; what happens once per run or version is kept as often as it happened.
type facts struct {
	started    []*events.RunStarted
	ends       map[string]int // run.completed and run.failed by run
	completed  []*events.RunCompleted
	failed     []*events.RunFailed
	versions   []*events.ModelRegistered
	verdicts   map[int][]*events.ModelGated
	promotions []promotion
	promotedAt []uint64 // the sequence of every message on model.promoted, junk too
	junk       int
}

func lifecycle(t *testing.T, b *bus.Bus) facts {
	t.Helper()
	f := facts{ends: map[string]int{}, verdicts: map[int][]*events.ModelGated{}}
	subject, err := events.SubjectOf(events.TypeModelPromoted, model)
	require.NoError(t, err)
	read(t, b, events.Lifecycle, func(m bus.Message) {
		if m.Subject == subject {
			f.promotedAt = append(f.promotedAt, m.Sequence)
		}
		if m.Err != nil {
			f.junk++
			return
		}
		if m.Event.Model != model {
			return
		}
		switch p := m.Event.Payload.(type) {
		case *events.RunStarted:
			f.started = append(f.started, p)
		case *events.RunCompleted:
			f.completed = append(f.completed, p)
			f.ends[p.RunID]++
		case *events.RunFailed:
			f.failed = append(f.failed, p)
			f.ends[p.RunID]++
		case *events.ModelRegistered:
			f.versions = append(f.versions, p)
		case *events.ModelGated:
			f.verdicts[p.Version] = append(f.verdicts[p.Version], p)
		case *events.ModelPromoted:
			f.promotions = append(f.promotions, promotion{*p, m.Sequence})
		}
	})
	return f
}

// production returns the last promotion, zero if there is none.
func (f facts) production() promotion {
	if len(f.promotions) == 0 {
		return promotion{}
	}
	return f.promotions[len(f.promotions)-1]
}

// mark returns the last cause that a run took.
func (f facts) mark() uint64 {
	if len(f.started) == 0 {
		return 0
	}
	return f.started[len(f.started)-1].CausesThrough
}

// unfinished says what is still to be done for what was begun, nil if nothing.
func (f facts) unfinished(lastCause uint64) error {
	if f.mark() < lastCause {
		return fmt.Errorf("cause %d waits, the last run took those through %d", lastCause, f.mark())
	}
	for _, s := range f.started {
		if f.ends[s.RunID] == 0 {
			return fmt.Errorf("run %s is open", s.RunID)
		}
	}
	if len(f.versions) < len(f.completed) {
		return fmt.Errorf("%d runs completed, %d versions registered", len(f.completed), len(f.versions))
	}
	promoted := map[int]bool{}
	for _, p := range f.promotions {
		promoted[p.Version] = true
	}
	for _, v := range f.versions {
		switch g := f.verdicts[v.Version]; {
		case len(g) == 0:
			return fmt.Errorf("version %d has no verdict", v.Version)
		case g[0].Verdict == events.VerdictPromotable && !promoted[v.Version] && g[0].PromotionSequence == f.production().sequence:
			return fmt.Errorf("version %d is promotable and not promoted", v.Version)
		}
	}
	return nil
}

// check holds what must be true of any history, however it came about, once nothing is unfinished.
func (f facts) check(t *testing.T) {
	t.Helper()
	starts, registered := map[string]int{}, map[string]int{}
	through := uint64(0)
	for _, s := range f.started {
		starts[s.RunID]++
		require.Equal(t, 1, starts[s.RunID], "run %s started twice", s.RunID)
		require.Equal(t, 1, f.ends[s.RunID], "ends of run %s", s.RunID)
		require.GreaterOrEqual(t, s.CausesThrough, through, "the mark goes back")
		for _, c := range s.Causes {
			require.True(t, c.Sequence == 0 || c.Sequence > through, "cause %d was taken by two runs", c.Sequence)
		}
		through = s.CausesThrough
	}
	require.Len(t, f.ends, len(f.started), "a run ended that was never started")
	require.Len(t, f.versions, len(f.completed), "one version for each completed run")
	for i, v := range f.versions {
		require.Equal(t, i+1, v.Version, "version numbers are consecutive")
		registered[v.RunID]++
		require.Equal(t, 1, registered[v.RunID], "run %s registered twice", v.RunID)
		require.Len(t, f.verdicts[v.Version], 1, "verdicts of version %d", v.Version)
		require.Equal(t, v.RunID, f.verdicts[v.Version][0].RunID)
	}
	require.Len(t, f.verdicts, len(f.versions), "a verdict for a version that does not exist")
	f.checkPromotions(t)
}

// checkPromotions holds that each promotion expected the one before it, so that there was one Production at any moment.
func (f facts) checkPromotions(t *testing.T) {
	t.Helper()
	var previous promotion
	at := map[uint64]uint64{} // what stood on the subject before a sequence
	for i, seq := range f.promotedAt {
		if i > 0 {
			at[seq] = f.promotedAt[i-1]
		}
	}
	byGate := map[int]int{}
	for _, p := range f.promotions {
		require.Equal(t, at[p.sequence], p.PreviousSequence, "promotion at %d did not expect the one before it", p.sequence)
		if p.Cause != events.PromotionRepair {
			require.Equal(t, previous.Version, p.PreviousVersion, "promotion at %d names another previous version", p.sequence)
		}
		require.LessOrEqual(t, p.Version, len(f.versions), "promotion at %d", p.sequence)
		if p.Version > 0 {
			require.Equal(t, f.versions[p.Version-1].Bundle.Digest, p.Bundle.Digest, "promotion at %d is of other bytes", p.sequence)
		}
		if p.Cause == events.PromotedByGate {
			byGate[p.Version]++
			require.Equal(t, 1, byGate[p.Version], "version %d promoted by its gate twice", p.Version)
			require.Equal(t, events.VerdictPromotable, f.verdicts[p.Version][0].Verdict, "version %d", p.Version)
		}
		previous = p
	}
}

// deadLetters returns the dead letters, oldest first.
func deadLetters(t *testing.T, b *bus.Bus) []events.DeadLetter {
	t.Helper()
	var all []events.DeadLetter
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, b.DeadLetters(ctx, func(_ uint64, d events.DeadLetter) error {
		all = append(all, d)
		return nil
	}))
	return all
}

// messages returns how many messages a stream holds.
func messages(t *testing.T, b *bus.Bus, stream string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := b.JetStream().Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0
	}
	require.NoError(t, err)
	return s.CachedInfo().State.Msgs
}
