package registry

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

// skewRounds is how often each pair of operations meets. Without the answers a third of them end in a contradiction.
const skewRounds = 20

// What excludes each other stands on two subjects. However two operations meet, the end is a state that one after the other could lead to, and whoever's write did not
// last was told.
func TestOperationsThatExcludeEachOther(t *testing.T) {
	for _, processes := range []int{1, 2} {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			r := newRig(t)
			a := r.ready(func(c *Config) { c.Instance = "a" })
			b := a
			if processes == 2 {
				b = r.ready(func(c *Config) { c.Instance = "b" })
			}
			meet := func(kind string, other func(name string) error, check func(name string, other, promote error)) {
				for i := range skewRounds {
					name := fmt.Sprint(kind, i)
					r.model(a, name, 2)
					var all sync.WaitGroup
					var errOther, errPromote error
					all.Go(func() { errOther = other(name) })
					all.Go(func() {
						_, errPromote = b.Transition(t.Context(), Transition{Model: name, Version: 1, Stage: events.StageProduction, Actor: "ann"})
					})
					all.Wait()
					require.NoError(t, a.Fresh(t.Context()))
					a.View(func(c *Catalog, _ *Fleet) {
						_, why, astray := c.Astray(name)
						require.False(t, astray, "%s: %v", name, why)
					})
					check(name, errOther, errPromote)
				}
			}
			meet("gates", func(name string) error {
				_, err := a.SetGates(t.Context(), name, &Gates{Target: "y"}, "bob")
				return err
			}, func(name string, gates, promote error) {
				r.one(name, gates, promote)
				a.View(func(c *Catalog, _ *Fleet) {
					p, _ := c.Promotion(name)
					require.Equal(t, gates == nil, c.Gated(name), name)
					require.Equal(t, promote == nil, p.Version == 1, name)
				})
			})
			meet("model", func(name string) error { return a.DeleteModel(t.Context(), name, "bob") }, func(name string, deletion, _ error) {
				require.NoError(t, deletion)
				a.View(func(c *Catalog, _ *Fleet) {
					m, _ := c.Model(name)
					p, _ := c.Promotion(name)
					require.True(t, m.Deleted, name)
					require.Zero(t, p.Version, name)
				})
			})
			meet("version", func(name string) error { return a.DeleteVersion(t.Context(), name, 1, "bob") }, func(name string, deletion, _ error) {
				require.NoError(t, deletion)
				a.View(func(c *Catalog, _ *Fleet) {
					v, _ := c.Version(name, 1)
					p, _ := c.Promotion(name)
					require.True(t, v.Deleted, name)
					require.Zero(t, p.Version, name)
				})
			})
		})
	}
}

// one requires that exactly one of two operations went through, and that the other was told why not.
func (r *rig) one(name string, errs ...error) {
	r.t.Helper()
	refused := 0
	for _, err := range errs {
		if err != nil {
			refused++
			require.Contains(r.t, []fault.Code{fault.Conflict, fault.Invalid}, fault.CodeOf(err), "%s: %v", name, err)
		}
	}
	require.Equal(r.t, 1, refused, "%s: %v", name, errs)
}

// late stores an event of a writer that knew nothing of what came before on other subjects, and died after it.
func (r *rig) late(name string, p events.Payload) uint64 {
	r.t.Helper()
	last, _, err := r.bus.Last(r.t.Context(), p.EventType(), name)
	require.NoError(r.t, err)
	seq, err := r.bus.Append(r.t.Context(), events.New(name, "test", fmt.Sprint("late-", last.Sequence), time.Now(), p), last.Sequence)
	require.NoError(r.t, err)
	return seq
}

// A promotion of what is deleted, or past gates, is Production until a registry answers it: one that runs, or one that starts.
func TestPromotionsThatWentAstrayAreAnswered(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	production := events.StageProduction
	promote := func(name string, version int) {
		t.Helper()
		_, err := s.Transition(ctx, Transition{Model: name, Version: version, Stage: production, ArchiveExisting: true})
		require.NoError(t, err)
	}
	manual := func(version int, archive bool) *events.ModelPromoted {
		return &events.ModelPromoted{
			Version: version, RunID: "x", Unservable: outsideStore, Cause: events.PromotedManually, Ungated: true, ArchiveExisting: archive,
		}
	}
	answered := func(name string, want int) {
		t.Helper()
		r.wait("an answer", func(c *Catalog) bool {
			_, _, astray := c.Astray(name)
			p, _ := c.Promotion(name)
			return !astray && p.Version == want
		})
	}
	for _, name := range []string{"gone", "back", "beside", "gated", "again"} {
		r.model(s, name, 3)
	}
	for _, name := range []string{"back", "beside"} {
		promote(name, 1)
		require.NoError(t, s.DeleteVersion(ctx, name, 2, "ann"))
	}
	_, err := s.SetGates(ctx, "gated", &Gates{Target: "y"}, "ann")
	require.NoError(t, err)
	for _, name := range []string{"gone", "again"} {
		require.NoError(t, s.DeleteModel(ctx, name, "ann"))
	}

	letter := r.late("gone", manual(1, false))
	answered("gone", 0)
	r.late("back", manual(2, true))
	answered("back", 1)
	require.Equal(t, "Production Archived None", standing(t, s, "back"))
	r.letter(letter)

	s.stop()
	r.late("beside", manual(2, false))
	r.late("gated", manual(3, false))
	r.late("again", manual(1, false))
	s = r.ready()
	answered("beside", 1)
	require.Equal(t, "Production Archived None", standing(t, s, "beside"))
	answered("gated", 0)
	require.Equal(t, "None None Archived", standing(t, s, "gated"))
	answered("again", 0)
	_, err = s.CreateModel(ctx, NewModel{Name: "again"})
	require.NoError(t, err, "the name is free")
	v, err := s.CreateVersion(ctx, NewVersion{Model: "again", Source: "s3://elsewhere/4"})
	require.NoError(t, err)
	require.Equal(t, 4, v.Version)
	promote("again", 4)
}

// letter waits for the dead letter of a contradiction.
func (r *rig) letter(sequence uint64) {
	r.t.Helper()
	r.wait("a dead letter", func(*Catalog) bool {
		_, ok := r.deadLetters()[sequence]
		return ok
	})
}

// What comes after a promotion that excludes it is left out.
func TestChangesThatProductionExcludes(t *testing.T) {
	var p tape
	client := func(n int) uint64 {
		return p.add(&events.ModelRegistered{Version: n, RunID: runOf(n), Source: "s3://elsewhere", Unservable: "no"})
	}
	change := func(change events.Change, version int, value string) uint64 {
		return p.add(&events.ModelChanged{Change: change, Version: version, Value: value})
	}
	promote := func(version, demoted int, archive bool) uint64 {
		m := &events.ModelPromoted{Version: version, RunID: runOf(version), Unservable: "no", Cause: events.PromotedManually, Ungated: true, ArchiveExisting: archive}
		if version == 0 {
			m.Cause, m.Unservable = events.PromotionWithdrawn, ""
		}
		if demoted > 0 {
			m.Demoted, m.DemotedTo = demoted, events.StageArchived
		}
		return p.add(m)
	}
	change(events.ChangeCreate, 0, "")
	client(1)
	client(2)
	promote(1, 0, false)
	promote(2, 0, false)
	left := map[uint64]string{
		change(events.ChangeDelete, 1, ""):   "version 1 is in Production",
		change(events.ChangeDelete, 2, ""):   "version 2 is in Production",
		change(events.ChangeDelete, 0, ""):   "version 2 of model",
		change(events.ChangeGates, 0, "{}"):  "versions [1 2] are in Production",
		promote(1, 2, false):                 "",
		change(events.ChangeGates, 0, "{} "): "version 1 is in Production and can't be served",
		promote(0, 0, false):                 "",
		change(events.ChangeGates, 0, " {}"): "",
		promote(2, 0, false):                 "past the gates",
	}
	c := NewCatalog()
	for _, rec := range p.records {
		err := c.Apply(rec)
		if want := left[rec.Sequence]; want != "" {
			require.ErrorContains(t, err, want)
			require.Equal(t, err, c.Fault(rec.Sequence))
			continue
		}
		require.NoError(t, err)
	}
	m, _ := c.Model(churn)
	require.True(t, m.Gated)
	_, why, astray := c.Astray(churn)
	require.True(t, astray)
	require.ErrorContains(t, why, "past the gates")
	w, due := amendment(c, churn, "registry")
	require.True(t, due)
	require.Equal(t, 0, w.payload.(*events.ModelPromoted).Version)
	require.NoError(t, w.payload.(*events.ModelPromoted).Validate())

	p = tape{}
	change(events.ChangeCreate, 0, "")
	client(1)
	change(events.ChangeDelete, 0, "")
	late := client(2)
	c = NewCatalog()
	for _, rec := range p.records {
		require.Equal(t, rec.Sequence == late, c.Apply(rec) != nil)
	}
	m, _ = c.Model(churn)
	require.True(t, m.Deleted, "a client's version does not bring a deleted model back")
	require.Equal(t, 2, c.NextVersion(churn))
}
