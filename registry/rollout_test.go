package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry/fault"
)

// canaryRig is a rig whose spec plans a canary that a few hundred records decide.
func canaryRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.spec.Rollout.Plan = spec.PlanCanary
	r.spec.Rollout.Watch.Duration = time.Hour
	r.spec.Complete()
	return r
}

func quick(c *Config) { c.RolloutEvery = 10 * time.Millisecond }

// player plays an inference instance: it says what it serves and what it counted.
type player struct {
	*rig
	name string
	n    int
}

func (r *rig) player(name string) *player { return &player{rig: r, name: name} }

// serves says which version, split and candidate the instance uses.
func (p *player) serves(version int, sequence uint64, revision, candidate int) {
	p.t.Helper()
	p.say(&events.InstanceAlive{Serving: p.serving(version, sequence, revision, candidate), StartedAt: time.Now()})
}

func (p *player) serving(version int, sequence uint64, revision, candidate int) events.Serving {
	return events.Serving{
		Instance: p.name, Boot: "boot", Version: version, Digest: digest(version), PromotionSequence: sequence, RolloutRevision: revision, Candidate: candidate,
	}
}

func (p *player) say(payload events.Payload) {
	p.t.Helper()
	p.n++
	_, err := p.bus.Publish(p.t.Context(), events.New(churn, "test", fmt.Sprintf("%s-%d", p.name, p.n), time.Now(), payload))
	require.NoError(p.t, err)
}

// answered says that n requests, so many of which failed, were answered by a version under a revision.
func (p *player) answered(o Rollout, candidate bool, n, errors uint64) events.VersionMeasurement {
	v := events.VersionMeasurement{
		Version: o.Production, Digest: digest(1), PromotionSequence: o.PromotionSequence, Revision: o.Revision, Arm: events.ArmProduction, Requests: n,
		Records: n - errors, Errors: errors, Scores: make([]uint64, events.ScoreBins),
	}
	v.Scores[4] = v.Records
	if candidate {
		v.Version, v.Arm, v.Digest = o.Version, events.ArmCanary, o.Bundle.Digest
	}
	return v
}

// plays takes a rollout up and answers enough of a step.
func (p *player) plays(o Rollout, n, errors uint64) {
	p.t.Helper()
	p.say(&events.ServingMeasured{
		Serving:  p.serving(o.Production, o.PromotionSequence, o.Revision, o.Version),
		Versions: []events.VersionMeasurement{p.answered(o, true, n, errors), p.answered(o, false, n, 0)},
	})
}

// rolled waits until a version's rollout stands so, and returns it.
func (r *rig) rolled(version int, what string, so func(Rollout) bool) Rollout {
	r.t.Helper()
	var o Rollout
	r.wait(what, func(c *Catalog) bool {
		v, _ := c.Version(churn, version)
		if v.Rollout != nil {
			o = *v.Rollout
		}
		return v.Rollout != nil && so(o)
	})
	return o
}

func at(revision int) func(Rollout) bool {
	return func(o Rollout) bool { return o.Revision >= revision }
}

// two trains two versions, the second of which the gate lets pass, and returns the canary that begins.
func (r *rig) two() Rollout {
	r.t.Helper()
	r.complete(modeltest.Options{Seed: 1})
	r.production(1)
	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	return r.rolled(2, "a canary", at(1))
}

// revisions reads rollout.changed, and holds that they are consecutive.
func (r *rig) revisions() []*events.RolloutChanged {
	r.t.Helper()
	var out []*events.RolloutChanged
	require.NoError(r.t, r.bus.Read(r.t.Context(), bus.ReadConfig{Stream: events.Lifecycle, Filters: []string{events.WildcardOf(events.TypeRolloutChanged)}},
		func(m bus.Message) error {
			require.NoError(r.t, m.Err)
			out = append(out, m.Event.Payload.(*events.RolloutChanged))
			require.Equal(r.t, len(out), out[len(out)-1].Revision, "consecutive")
			return nil
		}))
	return out
}

func TestTheGateBeginsACanaryThatGoesAllTheWay(t *testing.T) {
	r := canaryRig(t)
	r.start(quick)
	r.start(quick) // another one, which does the same
	o := r.two()
	require.Equal(t, []any{events.RolloutRunning, events.RolloutCanary, events.RolloutByGate, 1, 0.05, 0},
		[]any{o.State, o.Mode, o.Cause, o.Production, o.Share, o.Step})
	v, _ := r.catalog().Version(churn, 2)
	require.Equal(t, events.StageStaging, v.Stage)
	i := r.player("i")
	for _, share := range []float64{0.05, 0.25} {
		require.Equal(t, share, o.Share)
		i.plays(o, 600, 0)
		o = r.rolled(2, "the next revision", at(o.Revision+1))
		require.NotNil(t, o.Evidence)
		require.Equal(t, uint64(600), o.Evidence.Requests)
	}
	c := r.production(2)
	p, _ := c.Promotion(churn)
	require.Equal(t, []any{events.PromotedByGate, 2}, []any{p.Cause, p.Rollout})
	o = r.rolled(2, "the end", func(o Rollout) bool { return o.Ended() })
	require.Equal(t, []any{events.RolloutCompleted, events.RolloutPassed, 3, 1.0, 2}, []any{o.State, o.Cause, o.Revision, o.Share, o.Step})
	require.Equal(t, uint64(600), o.Evidence.Requests, "that of the last step")
	r.settle()
	require.Len(t, r.revisions(), 3)
	require.Equal(t, 2, r.consistent())
	require.Empty(t, r.deadLetters())

	// the fresh Production is watched as any other
	i.say(&events.ServingMeasured{Serving: i.serving(2, p.Sequence, 0, 0), Versions: []events.VersionMeasurement{
		{Version: 2, Digest: p.Bundle.Digest, PromotionSequence: p.Sequence, Arm: events.ArmProduction, Requests: 500, Records: 500,
			Scores: append(make([]uint64, events.ScoreBins-1), 500)},
	}})
	o = r.rolled(2, "the watch's end", func(o Rollout) bool { return o.Mode == events.RolloutDirect })
	require.Equal(t, []any{events.RolloutCompleted, 1, p.Sequence}, []any{o.State, o.Production, o.PromotionSequence})
}

func TestABreachEndsTheCanaryAndNothingBeginsItAgain(t *testing.T) {
	r := canaryRig(t)
	s := r.start(quick)
	o := r.two()
	r.player("i").plays(o, 40, 40)
	end := r.rolled(2, "the end", func(o Rollout) bool { return o.Ended() })
	require.Equal(t, []any{events.RolloutRolledBack, events.RolloutBreach}, []any{end.State, end.Cause})
	require.Equal(t, events.CheckBreached, end.Evidence.Checks[0].State)
	require.Contains(t, end.Reason, "error_ratio 1 over the limit of 0.01")
	require.Equal(t, []string{"i"}, end.Evidence.Instances)
	s.stop()
	s = r.start(quick)
	r.settle()
	require.Len(t, r.revisions(), 2)
	v, _ := r.catalog().Version(churn, 2)
	require.Equal(t, events.StageStaging, v.Stage)
	require.False(t, r.catalog().Overtaken(v))
	_, err := s.Transition(t.Context(), Transition{Model: churn, Version: 2, Stage: events.StageProduction})
	require.ErrorIs(t, err, ErrNotPassed)
	require.ErrorContains(t, err, "its canary was rolled back: error_ratio 1 over")

	r.complete(modeltest.Options{Seed: 3, Relation: 9})
	next := r.rolled(3, "the next version's canary", at(3))
	require.Equal(t, events.RolloutRunning, next.State)
	v, _ = r.catalog().Version(churn, 2)
	require.Equal(t, events.StageArchived, v.Stage, "a newer one is in Staging")
}

// A command that asks no registry shows the checks that the registry decides by.
func TestACommandSeesWhatTheRegistrySees(t *testing.T) {
	r := canaryRig(t)
	s := r.start(quick)
	o := r.two()
	r.player("i").plays(o, 50, 0)
	var seen *RolloutStatus
	bustest.Eventually(t, func() bool {
		seen, _ = s.RolloutStatus(churn)
		return seen != nil && seen.Evidence != nil && seen.Evidence.Requests == 50 && len(seen.Evidence.Checks) == 4
	}, "the registry judges by four checks")
	f, err := LoadFleet(t.Context(), r.bus)
	require.NoError(t, err)
	now, _, err := RolloutNow(t.Context(), r.bus, r.store, r.catalog(), f, churn)
	require.NoError(t, err)
	require.Equal(t, seen.Evidence.Checks, now.Evidence.Checks)
	now, _, err = RolloutNow(t.Context(), r.bus, nil, r.catalog(), f, churn)
	require.NoError(t, err)
	require.Equal(t, ScoresElsewhere, now.Evidence.Checks[len(now.Evidence.Checks)-1].Detail)
}

// While a canary runs, the next version waits with its verdict for the Production that it would replace.
func TestTheNextVersionWaitsForTheCanary(t *testing.T) {
	r := canaryRig(t)
	s := r.start(quick)
	o := r.two()
	r.complete(modeltest.Options{Seed: 3, Relation: 9})
	r.wait("version 3", func(c *Catalog) bool { return c.NextVersion(churn) == 4 })
	r.settle()
	v, _ := r.catalog().Version(churn, 3)
	require.Nil(t, v.Gate)
	_, err := s.AbortRollout(t.Context(), churn, RolloutAct{Revision: o.Revision, Actor: "op", Reason: "enough"})
	require.NoError(t, err)
	require.Equal(t, 1, r.judged(3).Gate.Champion)
}

// What happens to the two during a canary ends it, whoever else writes.
func TestWhatEndsACanary(t *testing.T) {
	by := func(change *events.ModelChanged) func(*rig, *running) {
		return func(r *rig, _ *running) { r.publish(fmt.Sprint(change.Change), change) }
	}
	for _, c := range []struct {
		name   string
		happen func(*rig, *running)
		state  events.RolloutState
		cause  events.RolloutCause
		want   int // Production
	}{
		{"the candidate is promoted by hand", func(r *rig, _ *running) {
			_, err := Promote(r.t.Context(), r.bus, churn, 2, PromoteOptions{Actor: "op"})
			require.NoError(r.t, err)
		}, events.RolloutCompleted, events.RolloutManually, 2},
		{"it is promoted before its time", func(r *rig, _ *running) {
			p, err := PromoteRollout(r.t.Context(), r.bus, churn, RolloutAct{Revision: 1, Actor: "op"})
			require.NoError(r.t, err)
			require.Equal(r.t, 1, p.Rollout)
		}, events.RolloutCompleted, events.RolloutManually, 2},
		{"the model is withdrawn", func(r *rig, _ *running) {
			_, err := Withdraw(r.t.Context(), r.bus, churn, WithdrawOptions{Actor: "op"})
			require.NoError(r.t, err)
		}, events.RolloutAborted, events.RolloutSuperseded, 0},
		{"the candidate is deleted", by(&events.ModelChanged{Change: events.ChangeDelete, Version: 2}), events.RolloutAborted, events.RolloutSuperseded, 1},
		{"the candidate is archived", by(&events.ModelChanged{Change: events.ChangeArchive, Version: 2}), events.RolloutAborted, events.RolloutSuperseded, 1},
		{"somebody aborts it", func(r *rig, s *running) {
			end, err := s.AbortRollout(r.t.Context(), churn, RolloutAct{Actor: "op", Reason: "no"})
			require.NoError(r.t, err)
			require.Equal(r.t, []any{"op", "no"}, []any{end.Actor, end.Reason})
		}, events.RolloutAborted, events.RolloutManually, 1},
		{"an instance can't load it, nor can the registry", func(r *rig, s *running) {
			v, _ := r.catalog().Version(churn, 2)
			require.NoError(r.t, r.store.(artifact.Deleter).Delete(r.t.Context(), artifact.Digest(v.Bundle.Digest), time.Now().Add(time.Hour)))
			p := r.player("i")
			p.serves(1, 1, 0, 0)
			p.say(&events.ModelLoadFailed{
				Serving: events.Serving{Instance: "i", Boot: "boot", Version: 2, Digest: v.Bundle.Digest}, Class: events.LoadPermanent, Reason: "not found",
				StillServing: 1, Rollout: 1,
			})
		}, events.RolloutRolledBack, events.RolloutLoadFailed, 1},
		{"a registry died between promotion and end", func(r *rig, s *running) {
			s.stop()
			v, _ := r.catalog().Version(churn, 2)
			r.publish("by-another", &events.ModelPromoted{
				Version: 2, RunID: v.RunID, Bundle: v.Bundle, PreviousVersion: 1, Cause: events.PromotedByGate, Rollout: 1,
			})
			r.start(quick)
		}, events.RolloutCompleted, events.RolloutPassed, 2},
		{"and another promotion came meanwhile", func(r *rig, s *running) {
			s.stop()
			c := r.catalog()
			for _, n := range []int{2, 1} {
				v, _ := c.Version(churn, n)
				r.publish(fmt.Sprint("p", n), &events.ModelPromoted{Version: n, RunID: v.RunID, Bundle: v.Bundle, Cause: events.PromotedManually})
			}
			r.start(quick)
		}, events.RolloutCompleted, events.RolloutManually, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := canaryRig(t)
			s := r.start(quick)
			r.two()
			c.happen(r, s)
			end := r.rolled(2, "the end", func(o Rollout) bool { return o.Ended() && o.Mode == events.RolloutCanary })
			require.Equal(t, []any{c.state, c.cause}, []any{end.State, end.Cause}, end.Reason)
			r.settle()
			p, _ := r.catalog().Promotion(churn)
			require.Equal(t, c.want, p.Version)
			r.revisions()
		})
	}
}

// A promotion that completes a rollout which somebody aborted in the same moment is answered: Production is as it was.
func TestAPromotionOfAnAbortedRolloutIsAnswered(t *testing.T) {
	r := canaryRig(t)
	s := r.start(quick)
	o := r.two()
	v, _ := r.catalog().Version(churn, 2)
	_, err := s.AbortRollout(t.Context(), churn, RolloutAct{Actor: "op"})
	require.NoError(t, err)
	r.publish("late", &events.ModelPromoted{Version: 2, RunID: v.RunID, Bundle: v.Bundle, PreviousVersion: 1, Cause: events.PromotedByGate, Rollout: o.Revision})
	c := r.wait("the answer", func(c *Catalog) bool {
		p, _ := c.Promotion(churn)
		return p.Version == 1 && p.Cause == events.PromotedByRollback
	})
	p, _ := c.Promotion(churn)
	require.False(t, p.Refuted)
	require.Contains(t, p.Reason, "was ended or went on")
}

func TestRolloutsByHand(t *testing.T) {
	r := newRig(t) // whose spec is direct
	s := r.start(quick)
	_, err := s.StartRollout(t.Context(), churn, RolloutStart{Version: 1})
	require.Equal(t, fault.NotFound, fault.CodeOf(err), err)
	r.complete(modeltest.Options{Seed: 1})
	r.production(1)
	_, err = s.StartRollout(t.Context(), churn, RolloutStart{Version: 1})
	require.ErrorContains(t, err, "version 1 of model telco-churn is Production")
	r.complete(modeltest.Options{Seed: 2}, func(run *events.RunCompleted) { run.TargetStage = events.StageStaging })
	r.judged(2)
	for _, c := range []struct {
		o    RolloutStart
		want string
	}{
		{RolloutStart{Version: 2, Plan: "direct"}, "plan: a canary needs shares"},
		{RolloutStart{Version: 2, Plan: "canary 5%"}, "plan: the last share must be 100%"},
		{RolloutStart{Version: 2, Mode: "blue"}, `mode "blue" must be canary or shadow`},
		{RolloutStart{Version: 2, Mode: events.RolloutShadow, Plan: spec.PlanCanary}, "a shadow answers nobody and has no plan"},
		{RolloutStart{Version: 2, Watch: map[string]string{"request": "1"}}, "rollout.watch.request: unknown key"},
		{RolloutStart{Version: 2, Override: true}, "an override needs a reason"},
		{RolloutStart{Version: 2, Expected: new(int)}, "version 1 of model telco-churn is Production since"},
	} {
		_, err := s.StartRollout(t.Context(), churn, c.o)
		require.ErrorContains(t, err, c.want)
	}
	_, err = s.AbortRollout(t.Context(), churn, RolloutAct{})
	require.ErrorIs(t, err, ErrNoRollout)
	require.Equal(t, fault.Conflict, fault.CodeOf(err), err)
	o, err := s.StartRollout(t.Context(), churn, RolloutStart{Version: 2, Watch: map[string]string{"requests": "1000"}, Actor: "op", Reason: "try"})
	require.NoError(t, err)
	require.Equal(t, []any{[]float64{0.05, 0.25, 1}, 1000, int64(600_000), events.RolloutManually, "op"},
		[]any{o.Plan, o.Watch.Requests, o.Watch.DurationMS, o.Cause, o.Actor})
	again, err := StartRollout(t.Context(), r.bus, churn, RolloutStart{Version: 2})
	require.NoError(t, err)
	require.Equal(t, o.Revision, again.Revision, "asking again changes nothing")
	again, err = StartRollout(t.Context(), r.bus, churn, RolloutStart{Version: 2, Plan: spec.PlanCanary, Watch: map[string]string{"requests": "1000", "p95_floor": "5ms"}})
	require.NoError(t, err)
	require.Equal(t, o.Revision, again.Revision)
	for _, other := range []RolloutStart{{Version: 2, Plan: "canary 50% -> 100%"}, {Version: 2, Watch: map[string]string{"requests": "999"}}} {
		_, err = s.StartRollout(t.Context(), churn, other)
		require.Equal(t, fault.Conflict, fault.CodeOf(err), "another plan is not begun, and not passed over: %v", err)
	}
	_, err = s.StartRollout(t.Context(), churn, RolloutStart{Version: 2, Mode: events.RolloutShadow})
	require.Equal(t, fault.Conflict, fault.CodeOf(err), err)
	_, err = s.PromoteRollout(t.Context(), churn, RolloutAct{Revision: 7})
	require.Equal(t, fault.Conflict, fault.CodeOf(err), err)
	require.ErrorContains(t, err, "is at revision 1, expected was 7")
	_, err = s.AbortRollout(t.Context(), churn, RolloutAct{Actor: "op"})
	require.NoError(t, err)
	o, err = s.StartRollout(t.Context(), churn, RolloutStart{Version: 2, Mode: events.RolloutShadow})
	require.NoError(t, err)
	require.Equal(t, []any{3, 0.0}, []any{o.Revision, o.Share})
	r.complete(modeltest.Options{Seed: 3, Relation: 7})
	r.production(3)
	end := r.rolled(2, "the shadow's end", func(o Rollout) bool { return o.Ended() })
	require.Equal(t, []any{events.RolloutAborted, events.RolloutSuperseded}, []any{end.State, end.Cause}, "a promotion ends it")
	audit := r.catalog().Audit(churn)
	var words []string
	for _, ch := range audit {
		if ch.Event == events.TypeRolloutChanged {
			words = append(words, ch.Summary)
		}
	}
	require.Equal(t, []string{
		"stopped the shadow of version 2: superseded", "began the shadow of version 2 beside version 1", "stopped the canary of version 2: manual",
		"began the canary of version 2: it answers 5 % beside version 1",
	}, words)
}
