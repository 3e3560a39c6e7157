package registry

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/baseline"
)

func TestAFreshProductionIsHeldToItsOwnReference(t *testing.T) {
	candidate, own := &baseline.Reference{}, &baseline.Reference{}
	p := Promotion{}
	p.Bundle.Digest = digest(2)
	in := RolloutInput{Reference: candidate}
	require.True(t, in.ofFresh(p).ScoresUnknown, "a candidate's reference says nothing of Production")
	in.Known = func(d string) (*baseline.Reference, bool) { return own, d == digest(2) }
	got := in.ofFresh(p)
	require.Same(t, own, got.Reference)
	require.False(t, got.ScoresUnknown)
}

func TestCountsOfOtherBytesSayNothingOfACandidate(t *testing.T) {
	for _, other := range []bool{false, true} {
		p, o, at := rolling()
		c := p.catalog(t)
		began, _ := c.Rollout(churn)
		counted := o.Bundle.Digest
		if other {
			counted = digest(9)
		}
		f := &fleetTape{fleet: NewFleet()}
		s := serving("a", 1)
		s.PromotionSequence, s.RolloutRevision, s.Candidate = at, 1, 2
		f.add(began.At, &events.ServingMeasured{Serving: s, Versions: []events.VersionMeasurement{
			{Version: 2, Digest: counted, PromotionSequence: at, Revision: 1, Arm: events.ArmCanary, Requests: 600, Records: 300, Errors: 300},
		}})
		d := DecideRollout(c, f.fleet, churn, RolloutInput{Labels: noLabels, Now: began.At})
		want := RolloutChange
		if other {
			want = RolloutWait
		}
		require.Equal(t, want, d.Action, d.Reason)
	}
}
