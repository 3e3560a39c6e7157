package registry

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

func TestAFreshProductionThatBreaksALimitIsRolledBackOnce(t *testing.T) {
	r := newRig(t)
	r.start(quick)
	r.start(quick)
	r.complete(modeltest.Options{Seed: 1})
	first, _ := r.production(1).Promotion(churn)
	i := r.player("i")
	i.say(&events.ModelLoaded{Serving: events.Serving{Instance: "i", Boot: "boot", Version: 1, Digest: first.Bundle.Digest, PromotionSequence: first.Sequence}})
	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	p, _ := r.production(2).Promotion(churn)
	i.say(&events.ServingMeasured{Serving: i.serving(2, p.Sequence, 0, 0), Versions: []events.VersionMeasurement{
		{Version: 2, Digest: p.Bundle.Digest, PromotionSequence: p.Sequence, Arm: events.ArmProduction, Requests: 30, Errors: 30},
	}})
	back, _ := r.production(1).Promotion(churn)
	require.Equal(t, events.PromotedByRollback, back.Cause)
	require.True(t, back.Refuted)
	require.Contains(t, back.Reason, "version 2 broke a limit of its watch: error_ratio 1 over the limit of 0.01")
	require.Equal(t, events.CheckBreached, back.Evidence.Checks[0].State)

	// a rollback is not watched, and what it refuted stays out
	i.say(&events.ServingMeasured{Serving: i.serving(1, back.Sequence, 0, 0), Versions: []events.VersionMeasurement{
		{Version: 1, Digest: back.Bundle.Digest, PromotionSequence: back.Sequence, Arm: events.ArmProduction, Requests: 300, Errors: 300},
	}})
	r.settle()
	c := r.catalog()
	require.Len(t, c.Promotions(churn), 3)
	require.True(t, c.Refuted(churn, p.Bundle.Digest))
	require.Empty(t, r.revisions())
}

func TestABreachWithNowhereToGoIsSaid(t *testing.T) {
	r := newRig(t)
	s := r.start(quick)
	r.complete(modeltest.Options{Seed: 1})
	p, _ := r.production(1).Promotion(churn)
	i := r.player("i")
	i.say(&events.ServingMeasured{Serving: i.serving(1, p.Sequence, 0, 0), Versions: []events.VersionMeasurement{
		{Version: 1, Digest: p.Bundle.Digest, PromotionSequence: p.Sequence, Arm: events.ArmProduction, Requests: 300, Errors: 300},
	}})
	end := r.rolled(1, "the end", at(1))
	require.Equal(t, []any{events.RolloutDirect, events.RolloutAborted, events.RolloutBreach}, []any{end.Mode, end.State, end.Cause})
	require.Contains(t, end.Reason, "no earlier Production was ever loaded, so it stays")
	bustest.Eventually(t, func() bool { return counter(t, s.metrics.alarms.WithLabelValues(alarmRollout)) == 1 }, "an alarm")
	r.settle()
	require.Len(t, r.revisions(), 1)
}
