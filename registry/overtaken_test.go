package registry

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/modeltest"
)

// idle returns a registry that does nothing by itself, for a test that takes its steps one by one.
func (r *rig) idle() *Service {
	r.t.Helper()
	c := DefaultConfig()
	c.Spec, c.Addr, c.Store, c.Log = r.spec, "127.0.0.1:0", r.store, slog.New(slog.DiscardHandler)
	c.Bus = r.srv.Dial(r.t, bus.Config{Name: "registry", Source: "registry/test"})
	s, err := New(c)
	require.NoError(r.t, err)
	r.t.Cleanup(s.Close)
	return s
}

// A version was found due; then something else is stored and folded, and only then it is promoted.
func TestWhatComesBetweenDueAndPromoted(t *testing.T) {
	for _, c := range []struct {
		name      string
		between   func(*rig)
		want      int // Production
		overtaken bool
	}{
		{"nothing", func(*rig) {}, 3, false},
		{"a withdrawal", func(r *rig) {
			_, err := Withdraw(r.t.Context(), r.bus, churn, WithdrawOptions{Actor: "op"})
			require.NoError(r.t, err)
		}, 0, true},
		{"a promotion by hand", func(r *rig) {
			_, err := Promote(r.t.Context(), r.bus, churn, 1, PromoteOptions{Actor: "op"})
			require.NoError(r.t, err)
		}, 1, true},
		{"junk", func(r *rig) { r.junk(events.TypeModelPromoted) }, 3, false},
		{"its promotion by another registry", func(r *rig) {
			r.publish("v3", &events.ModelPromoted{Version: 3, RunID: runOf(3), Bundle: bundleOf(3), Cause: events.PromotedByGate})
		}, 3, false},
		{"its archiving", func(r *rig) {
			r.publish("a3", &events.ModelChanged{Change: events.ChangeArchive, Version: 3})
		}, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			for n := 1; n <= 3; n++ {
				r.publish(runOf(n), &events.ModelRegistered{Version: n, RunID: runOf(n), Bundle: bundleOf(n), TargetStage: events.StageProduction})
			}
			r.publish("g1", &events.ModelGated{Version: 1, RunID: runOf(1), Verdict: events.VerdictStaged, Reason: "test"})
			p, err := Promote(t.Context(), r.bus, churn, 2, PromoteOptions{Actor: "op", Force: true, Reason: "test"})
			require.NoError(t, err)
			r.publish("g3", &events.ModelGated{
				Version: 3, RunID: runOf(3), Verdict: events.VerdictPromotable, Reason: ReasonBetter, Champion: 2, PromotionSequence: p.Sequence,
			})
			s := r.idle()
			require.NoError(t, s.ledger.refresh(t.Context()))
			var due []Version
			s.ledger.view(func(c *Catalog, _ *Fleet) { due = c.Unpromoted(churn) })
			require.Len(t, due, 1)

			c.between(r)
			require.NoError(t, s.ledger.refresh(t.Context()))
			before := r.catalog().Promotions(churn)
			require.NoError(t, s.promote(t.Context(), due[0]))
			after := r.catalog()
			now, _ := after.Promotion(churn)
			require.Equal(t, c.want, now.Version)
			if before[0].Version == c.want {
				require.Len(t, after.Promotions(churn), len(before), "nothing was written")
			}
			v, _ := after.Version(churn, 3)
			require.Equal(t, c.overtaken, after.Overtaken(v))
			require.Equal(t, c.overtaken, counter(t, s.metrics.alarms.WithLabelValues(alarmOvertaken)) == 1)
		})
	}
}

// The champion's number and its figures are of one version, also if another one is promoted while the verdict is reached.
func TestTheChampionStaysTheSameWhileAVersionIsJudged(t *testing.T) {
	r := newRig(t)
	running := r.start()
	for n := 1; n <= 2; n++ {
		r.complete(modeltest.Options{Seed: uint64(n), Relation: uint64(n)}, func(run *events.RunCompleted) {
			if n == 2 {
				run.TargetStage = events.StageStaging
			}
		})
		r.judged(n)
	}
	r.production(1)
	r.settle()
	running.stop()
	run := r.complete(modeltest.Options{Seed: 3, Relation: 2})
	r.publish("v3", &events.ModelRegistered{
		Version: 3, RunID: run.RunID, Bundle: run.Artifacts[0], Artifacts: run.Artifacts, SpecDigest: run.SpecDigest, TargetStage: run.TargetStage,
	})
	s := r.idle()
	require.NoError(t, s.ledger.refresh(t.Context()))
	v, _ := r.catalog().Version(churn, 3)
	rules, ok := s.rulesOf(churn)
	require.True(t, ok)
	b := s.basis(v, rules)
	_, err := Promote(t.Context(), r.bus, churn, 2, PromoteOptions{Actor: "op"})
	require.NoError(t, err)
	require.NoError(t, s.ledger.refresh(t.Context()))
	require.NoError(t, s.measure(t.Context(), v, &b))

	figures := func(version int) map[string]float64 {
		v, _ := r.catalog().Version(churn, version)
		bundle, err := s.bundle(t.Context(), v.Bundle.Digest, v.At)
		require.NoError(t, err)
		m, err := s.score(t.Context(), bundle, run.Artifacts[1], time.Now())
		require.NoError(t, err)
		return m.Map()
	}
	require.NotEqual(t, figures(1), figures(2))
	require.Equal(t, 1, b.in.Champion)
	require.Equal(t, figures(1), b.in.ChampionMetrics)
}

// A person's withdrawal is not undone by a schedule, by drift, or by a run that was under way.
func TestAfterAWithdrawalOnlyAPersonBringsAModelBack(t *testing.T) {
	r := newRig(t)
	r.start()
	r.complete(modeltest.Options{Seed: 1})
	r.production(1)
	under := r.run(modeltest.Options{Seed: 2})
	r.publish("start", &events.RunStarted{RunID: under.RunID, Causes: under.Causes, TargetStage: events.StageProduction})
	withdrawal, err := Withdraw(t.Context(), r.bus, churn, WithdrawOptions{Actor: "op"})
	require.NoError(t, err)
	r.junk(events.TypeModelPromoted)
	r.wait("repair", func(c *Catalog) bool {
		p, _ := c.Promotion(churn)
		return p.Cause == events.PromotionRepair
	})

	r.publish(under.RunID, under)
	staged := func(version int) {
		v := r.judged(version)
		require.Equal(t, events.VerdictStaged, v.Gate.Verdict, "version %d", version)
		require.Equal(t, ReasonWithdrawn, v.Gate.Reason)
		require.NotEmpty(t, v.Gate.Metrics, "it is measured all the same")
	}
	staged(2)
	for n, kind := range []events.CauseKind{events.CauseSchedule, events.CauseDrift, events.CauseFirst} {
		r.complete(modeltest.Options{Seed: uint64(3 + n)}, func(run *events.RunCompleted) { run.Causes = []events.Cause{{Kind: kind}} })
		staged(3 + n)
	}
	r.settle()
	p, ok := r.catalog().Withdrawn(churn)
	require.True(t, ok)
	require.Equal(t, withdrawal.Sequence, p.Sequence)

	_, err = Promote(t.Context(), r.bus, churn, 3, PromoteOptions{Actor: "op"})
	require.NoError(t, err, "by hand it goes")
	_, err = Withdraw(t.Context(), r.bus, churn, WithdrawOptions{Actor: "op"})
	require.NoError(t, err)
	r.complete(modeltest.Options{Seed: 6}, func(run *events.RunCompleted) {
		run.Causes = []events.Cause{{Kind: events.CauseSchedule}, {Kind: events.CauseRequested}}
	})
	require.Equal(t, ReasonFirst, r.judged(6).Gate.Reason, "asked for after the withdrawal")
	r.production(6)
}
