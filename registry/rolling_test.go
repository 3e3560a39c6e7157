package registry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// rolling writes a tape with version 1 in Production, version 2 judged, and its canary at revision 1.
func rolling() (*tape, events.RolloutChanged, uint64) {
	p := &tape{}
	at := p.version(1, events.VerdictPromotable, 0)
	p.run(2)
	p.register(2)
	p.gate(2, events.VerdictPromotable, at)
	o := events.RolloutChanged{
		Revision: 1, State: events.RolloutRunning, Mode: events.RolloutCanary, Version: 2, RunID: runOf(2), Bundle: bundleOf(2), Production: 1,
		PromotionSequence: at, Share: 0.05, Plan: []float64{0.05, 0.25, 1}, Cause: events.RolloutByGate,
		Watch: events.RolloutWatch{Requests: 500, DurationMS: 60_000, ErrorRatio: 0.01, MinRows: 300},
	}
	p.add(&o)
	return p, o, at
}

func TestWhatContradictsARolloutIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*tape, *events.RolloutChanged)
		want   string // of the fault; empty if it stands
	}{
		{"the next step", func(_ *tape, o *events.RolloutChanged) { o.Step, o.Share = 1, 0.25 }, ""},
		{"the end", func(_ *tape, o *events.RolloutChanged) { o.State = events.RolloutAborted }, ""},
		{"the same revision again", func(_ *tape, o *events.RolloutChanged) { o.Revision = 1 }, "revision 1 is not the next one, 2"},
		{"a revision too far", func(_ *tape, o *events.RolloutChanged) { o.Revision = 3 }, "revision 3 is not the next one, 2"},
		{"a step too far", func(_ *tape, o *events.RolloutChanged) { o.Step = 2 }, "the canary of version 2 runs, at revision 1"},
		{"another version", func(p *tape, o *events.RolloutChanged) {
			p.register(3)
			o.Version, o.Bundle = 3, bundleOf(3)
		}, "the canary of version 2 runs, at revision 1"},
		{"a version that is not there", func(_ *tape, o *events.RolloutChanged) { o.Version = 9 }, "version 9 is not registered"},
		{"other bytes", func(_ *tape, o *events.RolloutChanged) { o.Step, o.Bundle = 1, bundleOf(7) }, "registered with"},
		{"the end of another one", func(_ *tape, o *events.RolloutChanged) { o.State, o.Mode = events.RolloutAborted, events.RolloutShadow }, "no shadow of version 2 runs"},
		{"beside a promotion that is past", func(p *tape, o *events.RolloutChanged) {
			o.Step = 1
			p.promote(1, events.PromotedManually)
		}, "is not Production"},
		{"completed without a promotion", func(_ *tape, o *events.RolloutChanged) { o.State = events.RolloutCompleted }, "version 2 did not become Production"},
		{"aborted after its promotion", func(p *tape, o *events.RolloutChanged) {
			p.promote(2, events.PromotedByGate)
			o.State = events.RolloutAborted
		}, "version 2 became Production at sequence"},
		{"completed after its promotion", func(p *tape, o *events.RolloutChanged) {
			p.promote(2, events.PromotedByGate)
			o.State = events.RolloutCompleted
		}, ""},
		{"a watch of Production ends meanwhile", func(_ *tape, o *events.RolloutChanged) {
			o.Mode, o.State, o.Version, o.Production = events.RolloutDirect, events.RolloutCompleted, 1, 0
		}, "the canary of version 2 runs"},
		{"a watch of what was never promoted", func(p *tape, o *events.RolloutChanged) {
			end := *o
			end.Revision, end.State = 2, events.RolloutAborted
			p.add(&end)
			o.Revision, o.Mode, o.State = 3, events.RolloutDirect, events.RolloutCompleted
		}, "version 2 was not promoted at sequence"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, o, _ := rolling()
			o.Revision = 2
			c.change(p, &o)
			catalog := p.catalog(t)
			before := catalog.Rollouts(churn)
			seq := p.add(&o)
			err := catalog.Apply(p.records[seq-1])
			if c.want == "" {
				require.NoError(t, err)
				require.Equal(t, seq, catalog.Rollouts(churn)[0].Sequence)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, catalog.Fault(seq), c.want)
			require.Equal(t, before, catalog.Rollouts(churn), "it changed nothing")
		})
	}
}

func TestWhoMustServeAStepBeforeItEnds(t *testing.T) {
	p, o, at := rolling()
	c := p.catalog(t)
	began, _ := c.Rollout(churn)
	alive := func(f *fleetTape, at time.Time, name string, revision, candidate int, sequence uint64) {
		s := serving(name, 1)
		s.PromotionSequence, s.RolloutRevision, s.Candidate = sequence, revision, candidate
		f.add(at, &events.InstanceAlive{Serving: s, StartedAt: at})
	}
	for _, k := range []struct {
		name  string
		fleet func(*fleetTape, time.Time)
		after time.Duration
		want  RolloutAction
	}{
		{"nobody is alive", func(*fleetTape, time.Time) {}, 2 * time.Minute, RolloutHold},
		{"who was alive is gone", func(f *fleetTape, now time.Time) { alive(f, now.Add(-LiveFor), "a", 1, 2, at) }, 2 * time.Minute, RolloutHold},
		{"nobody knows of rollouts", func(f *fleetTape, now time.Time) { alive(f, now, "a", 0, 0, at) }, 2 * time.Minute, RolloutHold},
		{"all serve it, and nobody asks", func(f *fleetTape, now time.Time) {
			alive(f, now, "a", 1, 2, at)
			alive(f, now, "b", 1, 2, at)
		}, 2 * time.Minute, RolloutChange},
		{"one lags, and has time", func(f *fleetTape, now time.Time) {
			alive(f, now, "a", 1, 2, at)
			alive(f, now, "b", 0, 0, at)
			f.add(now, &events.ServingMeasured{Serving: events.Serving{
				Instance: "a", Boot: "b", Version: 1, Digest: digest(1), PromotionSequence: at, RolloutRevision: 1, Candidate: 2,
			}, Versions: []events.VersionMeasurement{
				{Version: 2, Digest: o.Bundle.Digest, PromotionSequence: at, Revision: 1, Arm: events.ArmCanary, Requests: 600, Records: 600},
			}})
		}, time.Second, RolloutWait},
		{"one lags for ever", func(f *fleetTape, now time.Time) {
			alive(f, now, "a", 1, 2, at)
			alive(f, now, "b", 0, 0, at)
		}, 2 * time.Minute, RolloutChange},
		{"it began just now", func(f *fleetTape, now time.Time) { alive(f, now, "a", 1, 2, at) }, time.Second, RolloutWait},
	} {
		t.Run(k.name, func(t *testing.T) {
			now := began.At.Add(k.after)
			f := &fleetTape{fleet: NewFleet()}
			k.fleet(f, now)
			d := DecideRollout(c, f.fleet, churn, RolloutInput{Labels: noLabels, Now: now})
			require.Equal(t, k.want, d.Action, d.Reason)
			if k.want == RolloutChange {
				next := d.write.payload.(*events.RolloutChanged)
				require.Equal(t, []any{2, 1, 0.25, events.RolloutStep}, []any{next.Revision, next.Step, next.Share, next.Cause})
				require.Equal(t, events.CheckInsufficient, next.Evidence.Checks[0].State, "the evidence says that nobody asked")
			}
		})
	}
}

// What could not be loaded for a rollout that is over says nothing of one that somebody begins once the bundle is there again.
func TestFailedLoadsOfAnEarlierRolloutAreForgotten(t *testing.T) {
	p, o, sequence := rolling()
	began, _ := p.catalog(t).Rollout(churn)
	f := &fleetTape{fleet: NewFleet()}
	fails := func(revision int) {
		s := serving("a", 2)
		s.Digest, s.PromotionSequence = o.Bundle.Digest, sequence
		f.add(began.At, &events.ModelLoadFailed{Serving: s, Class: events.LoadPermanent, Reason: "missing", StillServing: 1, Rollout: revision})
	}
	decided := func() RolloutDecision {
		return DecideRollout(p.catalog(t), f.fleet, churn, RolloutInput{Labels: noLabels, Now: began.At.Add(time.Second)})
	}
	fails(1)
	d := decided()
	require.Equal(t, RolloutChange, d.Action, d.Reason)
	p.add(d.write.payload)
	again := o
	again.Revision = 3
	p.add(&again)
	d = decided()
	require.Equal(t, RolloutWait, d.Action, d.Reason)
	fails(3)
	d = decided()
	require.Equal(t, RolloutChange, d.Action, d.Reason)
	step := again
	step.Revision, step.Step, step.Share = 4, 1, 0.25
	p.add(&step)
	require.Equal(t, RolloutChange, decided().Action, "a step does not undo it")
}
