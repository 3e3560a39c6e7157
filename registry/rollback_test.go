package registry

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

// fleetTape writes a FLEET by hand.
type fleetTape struct {
	fleet *Fleet
	n     uint64
}

func (p *fleetTape) add(at time.Time, payload events.Payload) {
	p.n++
	p.fleet.Apply(Record{Sequence: p.n, Time: at, Event: events.New(churn, "test", fmt.Sprint(p.n), at, payload)})
}

func serving(instance string, version int) events.Serving {
	return events.Serving{Instance: instance, Boot: "b", Version: version, Digest: digest(version), PromotionSequence: 1}
}

func (p *fleetTape) loaded(at time.Time, instance string, version int) {
	p.add(at, &events.ModelLoaded{Serving: serving(instance, version)})
}

func (p *fleetTape) failed(at time.Time, instance string, version int, class events.LoadClass) {
	p.add(at, &events.ModelLoadFailed{Serving: serving(instance, version), Class: class, Reason: "golden row 0", StillServing: version - 1})
}

func TestDecideRollback(t *testing.T) {
	now := time.Unix(1000, 0)
	old := now.Add(-LiveFor)
	const permanent, transient = events.LoadPermanent, events.LoadTransient
	for _, c := range []struct {
		name   string
		tape   func(*tape) // after versions 1, 2 and 3 were promoted
		fleet  func(*fleetTape)
		check  OwnCheck
		action RollbackAction
		target int
	}{
		{"nothing failed", nil, func(f *fleetTape) { f.loaded(now, "a", 3) }, CheckNotDone, RollbackNone, 0},
		{"transient", nil, func(f *fleetTape) { f.failed(now, "a", 3, transient) }, CheckBroken, RollbackNone, 0},
		{"fails here too", nil, func(f *fleetTape) {
			f.loaded(now, "b", 3)
			f.loaded(now, "c", 3)
			f.failed(now, "a", 3, permanent)
		}, CheckBroken, RollbackGo, 2},
		{"fails here too, the only instance is gone", nil, func(f *fleetTape) { f.failed(old, "a", 3, permanent) }, CheckBroken, RollbackGo, 2},
		{"sound here, half of the instances", nil, func(f *fleetTape) {
			f.loaded(now, "b", 3)
			f.failed(now, "a", 3, permanent)
		}, CheckSound, RollbackAlarm, 0},
		{"sound here, most instances", nil, func(f *fleetTape) {
			f.loaded(now, "c", 3)
			f.failed(now, "a", 3, permanent)
			f.failed(now, "b", 3, permanent)
		}, CheckSound, RollbackGo, 2},
		{"sound here, most live instances", nil, func(f *fleetTape) {
			f.loaded(old, "b", 3)
			f.failed(now, "a", 3, permanent)
		}, CheckSound, RollbackGo, 2},
		{"sound here, nobody live", nil, func(f *fleetTape) { f.failed(old, "a", 3, permanent) }, CheckSound, RollbackNone, 0},
		{"the instance loaded it after all", nil, func(f *fleetTape) {
			f.failed(now, "a", 3, permanent)
			f.loaded(now, "a", 3)
		}, CheckBroken, RollbackNone, 0},
		{"another version failed", nil, func(f *fleetTape) { f.failed(now, "a", 2, permanent) }, CheckBroken, RollbackNone, 0},
		{"withdrawn", func(p *tape) {
			p.add(&events.ModelPromoted{Cause: events.PromotionWithdrawn, PreviousVersion: 3})
		}, func(f *fleetTape) { f.failed(now, "a", 3, permanent) }, CheckBroken, RollbackNone, 0},
		{"restated by a repair", func(p *tape) {
			p.junk(events.TypeModelPromoted)
			p.promote(3, events.PromotionRepair)
		}, func(f *fleetTape) { f.failed(now, "a", 3, permanent) }, CheckBroken, RollbackGo, 2},
		{"promoted by hand", func(p *tape) { p.promote(1, events.PromotedManually) }, func(f *fleetTape) {
			f.loaded(old, "b", 3)
			f.failed(now, "a", 1, permanent)
		}, CheckBroken, RollbackGo, 3},
		{"a rollback is not rolled back", func(p *tape) {
			p.promote(2, events.PromotedByRollback)
		}, func(f *fleetTape) { f.failed(now, "a", 2, permanent) }, CheckBroken, RollbackAlarm, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p tape
			var s uint64
			for n := 1; n <= 3; n++ {
				s = p.version(n, events.VerdictPromotable, s)
			}
			if c.tape != nil {
				c.tape(&p)
			}
			f := &fleetTape{fleet: NewFleet()}
			f.loaded(old.Add(-time.Hour), "gone", 1)
			f.loaded(old.Add(-time.Hour), "gone", 2)
			c.fleet(f)
			catalog := p.catalog(t)
			d := DecideRollback(catalog, f.fleet, churn, c.check, now)
			require.Equal(t, c.action, d.Action, d.Reason)
			require.Equal(t, c.target, d.Target.Version)
			if c.action == RollbackGo {
				require.Equal(t, catalog.Expected(events.TypeModelPromoted, churn), d.Expected)
			}
		})
	}
}

func TestRollbackTargetMustHaveBeenLoadedAndNotRefuted(t *testing.T) {
	now := time.Unix(1000, 0)
	var p tape
	var s uint64
	for n := 1; n <= 4; n++ {
		s = p.version(n, events.VerdictPromotable, s)
	}
	f := &fleetTape{fleet: NewFleet()}
	f.failed(now, "a", 4, events.LoadPermanent)
	d := DecideRollback(p.catalog(t), f.fleet, churn, CheckBroken, now)
	require.Equal(t, RollbackAlarm, d.Action, "nothing was ever loaded")
	require.Contains(t, d.Reason, "no earlier Production")

	f.loaded(now.Add(-time.Hour), "old", 2)
	d = DecideRollback(p.catalog(t), f.fleet, churn, CheckBroken, now)
	require.Equal(t, 2, d.Target.Version, "3 was never loaded")

	f.loaded(now.Add(-time.Hour), "old", 3)
	p.add(&events.ModelChanged{Change: events.ChangeDelete, Version: 3})
	d = DecideRollback(p.catalog(t), f.fleet, churn, CheckBroken, now)
	require.Equal(t, 2, d.Target.Version, "3 was deleted")
}

func TestFleetCountsTheLatestOfAnInstance(t *testing.T) {
	now := time.Unix(1000, 0)
	f := &fleetTape{fleet: NewFleet()}
	f.loaded(now, "a", 1)
	f.failed(now, "a", 2, events.LoadPermanent)
	f.add(now.Add(time.Second), &events.InstanceAlive{Serving: serving("a", 1), Predictions: 7, Address: "127.0.0.1:8080"})
	f.fleet.Apply(Record{Sequence: 1, Time: now.Add(time.Hour), Event: events.New(churn, "t", "1", now, &events.ModelLoaded{Serving: serving("a", 9)})})
	is := f.fleet.Instances(churn)
	require.Len(t, is, 1)
	require.Equal(t, 1, is[0].Version)
	require.Equal(t, uint64(7), is[0].Predictions)
	require.Equal(t, 2, is[0].Failure.Version, "a sign of life forgives nothing")
	require.True(t, is[0].Live(now.Add(LiveFor)))
	require.False(t, is[0].Live(now.Add(LiveFor+time.Second)))
	require.True(t, f.fleet.Loaded(churn, digest(9)), "that it was loaded once stays true")
	require.False(t, f.fleet.Loaded(churn, digest(2)))
}

// report publishes what an instance says about a version.
func (r *rig) report(instance string, v Version, sequence uint64, class events.LoadClass) {
	r.t.Helper()
	s := events.Serving{Instance: instance, Boot: "b", Version: v.Version, Digest: v.Bundle.Digest, PromotionSequence: sequence}
	var p events.Payload = &events.ModelLoaded{Serving: s}
	if class != "" {
		p = &events.ModelLoadFailed{Serving: s, Class: class, Reason: "golden row 3: margin"}
	}
	_, err := r.bus.Publish(r.t.Context(), events.New(churn, "inference/"+instance, fmt.Sprintf("%s/%d/%s", instance, sequence, class), time.Now(), p))
	require.NoError(r.t, err)
}

func TestAVersionThatCannotBeLoadedIsRolledBackAndItsBytesRefused(t *testing.T) {
	r := newRig(t)
	s := r.start()
	r.complete(modeltest.Options{Seed: 1})
	c := r.production(1)
	one, _ := c.Version(churn, 1)
	p, _ := c.Promotion(churn)
	r.report("a", one, p.Sequence, "")
	r.report("b", one, p.Sequence, "")
	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	c = r.production(2)
	two, _ := c.Version(churn, 2)
	failed, _ := c.Promotion(churn)

	// It breaks in the store after its promotion; one instance of two finds out, the registry looks for itself.
	r.remove(two.Bundle.Digest)
	r.report("b", two, failed.Sequence, "")
	r.report("a", two, failed.Sequence, events.LoadPermanent)
	c = r.production(1)
	back, _ := c.Promotion(churn)
	require.Equal(t, events.PromotedByRollback, back.Cause)
	require.True(t, back.Refuted)
	require.Equal(t, failed.Sequence, back.PreviousSequence)
	require.Contains(t, back.Reason, "golden row 3")

	// It does not come back by hand, and a rollback that fails in its turn is only alarmed about.
	_, err := Promote(t.Context(), r.bus, churn, 2, PromoteOptions{Actor: "op"})
	require.ErrorIs(t, err, ErrRefuted)
	r.remove(one.Bundle.Digest)
	r.report("a", one, back.Sequence, events.LoadPermanent)
	bustest.Eventually(t, func() bool { return counter(t, s.metrics.alarms.WithLabelValues(alarmLoad)) == 1 }, "alarm")
	now, _ := r.catalog().Promotion(churn)
	require.Equal(t, back.Sequence, now.Sequence)
}

func TestASoundVersionIsNotRolledBackForOneInstance(t *testing.T) {
	r := newRig(t)
	s := r.start()
	r.complete(modeltest.Options{Seed: 1})
	c := r.production(1)
	one, _ := c.Version(churn, 1)
	p, _ := c.Promotion(churn)
	r.report("a", one, p.Sequence, "")
	r.report("b", one, p.Sequence, "")
	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	c = r.production(2)
	two, _ := c.Version(churn, 2)
	p, _ = c.Promotion(churn)
	r.report("b", two, p.Sequence, "")
	r.report("a", two, p.Sequence, events.LoadTransient)
	r.report("a", two, p.Sequence, events.LoadPermanent)
	bustest.Eventually(t, func() bool { return counter(t, s.metrics.alarms.WithLabelValues(alarmLoad)) == 1 }, "alarm")
	now, _ := r.catalog().Promotion(churn)
	require.Equal(t, 2, now.Version)

	// Once most of the live instances say so, it goes.
	r.report("b", two, p.Sequence, events.LoadPermanent)
	r.production(1)
}

// An instance that dies says nothing. Those that are left count again when one of the failing ones gives a sign of life.
func TestFailuresAreCountedAgainWhenSoundInstancesDie(t *testing.T) {
	r := newRig(t)
	var ahead atomic.Int64
	s := r.start(func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	r.complete(modeltest.Options{Seed: 1})
	c := r.production(1)
	one, _ := c.Version(churn, 1)
	p, _ := c.Promotion(churn)
	r.report("a", one, p.Sequence, "")
	r.report("b", one, p.Sequence, "")
	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	c = r.production(2)
	two, _ := c.Version(churn, 2)
	p, _ = c.Promotion(churn)
	r.report("b", two, p.Sequence, "")
	r.report("a", two, p.Sequence, events.LoadPermanent)
	alarms := s.metrics.alarms.WithLabelValues(alarmLoad)
	bustest.Eventually(t, func() bool { return counter(t, alarms) == 1 }, "alarm")
	r.settle()

	// beat is a sign of life of the time that the registry's clock shows.
	beat := func(sequence uint64) {
		alive := &events.InstanceAlive{Serving: events.Serving{Instance: "a", Boot: "b", Version: 1, Digest: one.Bundle.Digest}}
		require.NoError(t, s.onFleet(t.Context(), bus.Message{
			Stream: events.Fleet, Sequence: sequence, Time: s.cfg.Now(), Event: events.New(churn, "inference/a", "beat", s.cfg.Now(), alive),
		}))
	}
	beat(1000)
	require.NoError(t, s.reconcile(t.Context()))
	require.EqualValues(t, 1, counter(t, alarms), "as long as the other one lives nothing is decided again")
	now, _ := r.catalog().Promotion(churn)
	require.Equal(t, p.Sequence, now.Sequence)

	ahead.Store(int64(LiveFor))
	beat(1001)
	r.production(1)
	now, _ = r.catalog().Promotion(churn)
	require.Equal(t, events.PromotedByRollback, now.Cause)
	require.Contains(t, now.Reason, "1 of 1 live")
}
