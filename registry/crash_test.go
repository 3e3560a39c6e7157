package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

// consistent checks what must hold of LIFECYCLE whatever happened: consecutive numbers, one version for a run, one verdict for a version,
// at most one promotion by the gate for a version, and each promotion on the one before it. It returns the number of versions.
func (r *rig) consistent() int {
	r.t.Helper()
	runs, verdicts, gated := map[string]int{}, map[int]int{}, map[int]int{}
	versions := 0
	var promotion uint64
	production := 0
	require.NoError(r.t, r.bus.Read(r.t.Context(), bus.ReadConfig{Stream: events.Lifecycle}, func(m bus.Message) error {
		require.NoError(r.t, m.Err)
		switch p := m.Event.Payload.(type) {
		case *events.ModelRegistered:
			versions++
			require.Equal(r.t, versions, p.Version, "consecutive")
			require.Zero(r.t, runs[p.RunID], "run %s registered twice", p.RunID)
			runs[p.RunID] = p.Version
		case *events.ModelGated:
			verdicts[p.Version]++
			require.Equal(r.t, 1, verdicts[p.Version], "version %d judged twice", p.Version)
			require.Equal(r.t, promotion, p.PromotionSequence, "version %d judged against what was Production", p.Version)
		case *events.ModelPromoted:
			require.Equal(r.t, promotion, p.PreviousSequence)
			require.Equal(r.t, production, p.PreviousVersion)
			promotion, production = m.Sequence, p.Version
			if p.Cause == events.PromotedByGate {
				gated[p.Version]++
				require.Equal(r.t, 1, gated[p.Version], "version %d promoted twice", p.Version)
			}
		}
		return nil
	}))
	require.Len(r.t, verdicts, versions, "every version has a verdict")
	return versions
}

// finished waits until every run has a version, every version a verdict, and every promotable version its promotion or successor.
func (r *rig) finished(runs int) *Catalog {
	r.t.Helper()
	return r.wait("everything finished", func(c *Catalog) bool {
		return c.NextVersion(churn) == runs+1 && len(c.Unjudged(churn)) == 0 && len(c.Unpromoted(churn)) == 0
	})
}

func TestRedeliveryChangesNothing(t *testing.T) {
	r := newRig(t)
	s := r.start()
	r.complete(modeltest.Options{Seed: 1})
	r.production(1)
	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	r.production(2)
	r.settle()
	_, err := Rollback(t.Context(), r.bus, churn, RollbackOptions{Version: 1, Actor: "op", Reason: "test"})
	require.NoError(t, err)
	s.stop()
	last, err := r.bus.LastSequence(t.Context(), events.Lifecycle)
	require.NoError(t, err)

	// Without its durables the registry gets every run again.
	for _, durable := range []string{"registry", refusedBy + churn} {
		require.NoError(t, r.bus.JetStream().DeleteConsumer(t.Context(), string(events.Lifecycle), durable))
	}
	r.start()
	r.settle()
	again, err := r.bus.LastSequence(t.Context(), events.Lifecycle)
	require.NoError(t, err)
	require.Equal(t, last, again)
	p, _ := r.catalog().Promotion(churn)
	require.Equal(t, 1, p.Version, "the rollback stays")
	require.Empty(t, r.deadLetters())
}

// Each case is the stream that a registry leaves behind if it dies between two steps.
func TestStartFinishesWhatAKillLeft(t *testing.T) {
	for _, c := range []struct {
		name string
		left func(*rig, *events.RunCompleted)
	}{
		{"nothing done", func(*rig, *events.RunCompleted) {}},
		{"registered", func(r *rig, run *events.RunCompleted) {
			r.publish(run.RunID+"@0", &events.ModelRegistered{
				Version: 1, RunID: run.RunID, Bundle: run.Artifacts[0], Artifacts: run.Artifacts, SpecDigest: run.SpecDigest, TargetStage: run.TargetStage,
			})
		}},
		{"judged", func(r *rig, run *events.RunCompleted) {
			r.publish(run.RunID+"@0", &events.ModelRegistered{
				Version: 1, RunID: run.RunID, Bundle: run.Artifacts[0], Artifacts: run.Artifacts, SpecDigest: run.SpecDigest, TargetStage: run.TargetStage,
			})
			r.publish("v1@0", &events.ModelGated{Version: 1, RunID: run.RunID, Verdict: events.VerdictPromotable, Reason: ReasonFirst})
		}},
	} {
		for _, delivered := range []bool{false, true} {
			if delivered && c.name == "nothing done" {
				continue // a run is acked only after it was registered
			}
			t.Run(fmt.Sprintf("%s, run acked %v", c.name, delivered), func(t *testing.T) {
				r := newRig(t)
				run := r.complete(modeltest.Options{Seed: 1})
				c.left(r, run)
				if delivered {
					r.ackAll()
				}
				r.start()
				r.production(1)
				r.finished(1)
				require.Equal(t, 1, r.consistent())
			})
		}
	}
}

// ackAll moves the durable for runs to the end, as if every run had been handled.
func (r *rig) ackAll() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- r.bus.Consume(ctx, bus.ConsumerConfig{
			Durable: refusedBy + churn, Stream: events.Lifecycle, Filters: []string{"run.completed." + churn},
		}, ignore)
	}()
	r.settleOne(refusedBy + churn)
	cancel()
	require.NoError(r.t, <-done)
}

func TestAnOvertakenVersionStaysInStaging(t *testing.T) {
	r := newRig(t)
	s := r.start()
	r.complete(modeltest.Options{Seed: 1})
	c := r.production(1)
	r.settle()
	s.stop()
	p, _ := c.Promotion(churn)
	run := r.complete(modeltest.Options{Seed: 2, Relation: 7})
	r.publish("v2", &events.ModelRegistered{
		Version: 2, RunID: run.RunID, Bundle: run.Artifacts[0], Artifacts: run.Artifacts, SpecDigest: run.SpecDigest, TargetStage: run.TargetStage,
	})
	r.publish("v2", &events.ModelGated{
		Version: 2, RunID: run.RunID, Verdict: events.VerdictPromotable, Reason: ReasonBetter, Champion: 1, PromotionSequence: p.Sequence,
	})
	_, err := Withdraw(t.Context(), r.bus, churn, WithdrawOptions{Actor: "op"})
	require.NoError(t, err)
	r.start()
	r.settle()
	c = r.catalog()
	v, _ := c.Version(churn, 2)
	require.Equal(t, events.StageStaging, v.Stage)
	require.True(t, c.Overtaken(v))
	p, _ = c.Promotion(churn)
	require.Zero(t, p.Version)

	_, err = Promote(t.Context(), r.bus, churn, 2, PromoteOptions{Actor: "op"})
	require.NoError(t, err)
	r.production(2)
}

// Registries are cut off from the server at random moments, which leaves every answer in flight unanswered, and others take over. Fewer die in
// a round than make a message poison.
func TestRegistriesThatDieAtAnyMoment(t *testing.T) {
	const rounds, runs, deaths = 4, 3, bus.DefaultMaxPoison - 1
	r := newRig(t)
	rng := rand.New(rand.NewPCG(1, 2))
	died := 0
	for round := range rounds {
		for n := range runs {
			id := round*runs + n
			r.complete(modeltest.Options{Seed: uint64(id), Relation: uint64(id % 3), Rows: 200, RunID: runOf(id)})
		}
		for n := 0; n < deaths && r.catalog().NextVersion(churn) <= (round+1)*runs; n++ {
			r.doomed(time.Duration(10_000+rng.IntN(30_000)) * time.Microsecond)
			died++
		}
		s := r.start(func(c *Config) { c.AckWait = doomedAckWait })
		r.finished((round + 1) * runs)
		r.settle()
		s.stop()
	}
	t.Logf("%d registries died", died)
	require.Equal(t, rounds*runs, r.consistent())
	require.Empty(t, r.deadLetters())
}

// doomedAckWait keeps the survivors from waiting for the dead.
const doomedAckWait = 50 * time.Millisecond

// doomed runs a registry and cuts its connection after a while.
func (r *rig) doomed(life time.Duration) {
	r.t.Helper()
	c := DefaultConfig()
	c.Spec, c.Addr, c.AckWait, c.Log = r.spec, "127.0.0.1:0", doomedAckWait, slog.New(slog.DiscardHandler)
	c.Bus = r.srv.Dial(r.t, bus.Config{Name: "doomed", Source: "registry/doomed"})
	store, err := objstore.Open(r.t.Context(), c.Bus.JetStream(), objstore.DefaultConfig())
	require.NoError(r.t, err)
	c.Store = store
	s, err := New(c)
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx) // it dies, that is all that is asked of it
	}()
	cut := time.AfterFunc(life, func() {
		c.Bus.Conn().Close()
		cancel()
	})
	defer cut.Stop()
	<-done
}

func TestTwoRegistriesWriteOneHistory(t *testing.T) {
	r := newRig(t)
	r.start()
	r.start()
	const runs = 6
	for n := range runs {
		r.complete(modeltest.Options{Seed: uint64(n), Relation: uint64(n), Rows: 200, RunID: runOf(n)})
	}
	r.finished(runs)
	r.settle()
	require.Equal(t, runs, r.consistent())
	require.Empty(t, r.deadLetters())
}

func TestTheStoreAwayRefusesNothing(t *testing.T) {
	r := newRig(t)
	r.start()
	r.complete(modeltest.Options{Seed: 1})
	r.production(1)
	run := r.run(modeltest.Options{Seed: 2, Relation: 7})
	r.publish(run.RunID, run)
	r.srv.Restart(t)
	r.production(2)
	r.finished(2)
	require.Equal(t, 2, r.consistent())
	require.Empty(t, r.deadLetters())
}

// settleOne waits until a durable exists and has nothing left.
func (r *rig) settleOne(durable string) {
	bustest.Eventually(r.t, func() bool {
		c, err := r.bus.JetStream().Consumer(r.t.Context(), string(events.Lifecycle), durable)
		if err != nil {
			return false
		}
		info, err := c.Info(r.t.Context())
		return err == nil && info.NumPending == 0 && info.NumAckPending == 0
	}, durable+" is done")
}

// The follower may fold a message before the answer to a refresh that was asked earlier comes. Once that emptied the fold.
func TestRefreshIsNotConfusedByAFasterFollower(t *testing.T) {
	r := newRig(t)
	const writers = 4
	l := newLedger(r.bus)
	ctx, cancel := context.WithCancel(t.Context())
	followed := make(chan error, 1)
	go func() {
		followed <- r.bus.Follow(ctx, bus.FollowConfig{Name: "test", Stream: events.Lifecycle}, func(ctx context.Context, m bus.Message) error {
			if err := l.apply(m); errors.Is(err, errGap) {
				return l.refresh(ctx)
			}
			return nil
		})
	}()
	refreshed := make(chan error, writers)
	for range writers {
		go func() {
			for ctx.Err() == nil {
				if err := l.refresh(ctx); err != nil && ctx.Err() == nil {
					refreshed <- err
					return
				}
			}
			refreshed <- nil
		}()
	}
	for n := range 200 {
		r.publish(fmt.Sprint(n), &events.RunFailed{RunID: runOf(n), Step: "train", Reason: "test"})
	}
	bustest.Eventually(t, func() (done bool) {
		l.view(func(c *Catalog, _ *Fleet) { done = c.Through() == 200 })
		return done
	}, "all folded")
	cancel()
	require.NoError(t, <-followed)
	for range writers {
		require.NoError(t, <-refreshed)
	}
	l.view(func(c *Catalog, _ *Fleet) { require.Len(t, c.Runs(churn), 200) })
}
