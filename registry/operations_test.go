package registry

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// registered writes versions straight into the stream: 1 and 2 staged, 3 rejected, 4 without a verdict.
func registered(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	for n := 1; n <= 4; n++ {
		r.publish(runOf(n), &events.RunCompleted{RunID: runOf(n), Experiment: "e", TargetStage: events.StageStaging, Artifacts: []events.Artifact{bundleOf(n)}})
		r.publish(runOf(n), &events.ModelRegistered{Version: n, RunID: runOf(n), Bundle: bundleOf(n), TargetStage: events.StageStaging})
		if n < 4 {
			verdict := map[int]events.Verdict{1: events.VerdictStaged, 2: events.VerdictStaged, 3: events.VerdictRejected}[n]
			r.publish(fmt.Sprint(n), &events.ModelGated{Version: n, RunID: runOf(n), Verdict: verdict, Reason: "test"})
		}
	}
	return r
}

func TestPromoteByHand(t *testing.T) {
	r := registered(t)
	promote := func(version int, force bool) (Promotion, error) {
		return Promote(t.Context(), r.bus, churn, version, PromoteOptions{Actor: "ann", Reason: "because", Force: force})
	}
	for version, want := range map[int]error{0: ErrUnknown, 3: ErrNotPassed, 4: ErrNotPassed, 5: ErrUnknown} {
		_, err := promote(version, false)
		require.ErrorIs(t, err, want, "version %d", version)
	}
	_, err := Promote(t.Context(), r.bus, "nobody", 1, PromoteOptions{})
	require.ErrorIs(t, err, ErrUnknown)

	p, err := promote(2, false)
	require.NoError(t, err)
	now, _ := r.catalog().Promotion(churn)
	require.Equal(t, p.Sequence, now.Sequence)
	require.Equal(t, p.ModelPromoted, now.ModelPromoted)
	require.Equal(t, events.PromotedManually, now.Cause)
	require.Equal(t, "ann", now.Actor)

	again, err := promote(2, false)
	require.NoError(t, err)
	require.Equal(t, p.Sequence, again.Sequence, "what is Production is not promoted again")

	p, err = promote(3, true)
	require.NoError(t, err)
	require.Equal(t, 2, p.PreviousVersion)

	// Junk at the end of the subject is in nobody's way.
	j := r.junk(events.TypeModelPromoted)
	p, err = promote(1, false)
	require.NoError(t, err)
	require.Equal(t, j, p.PreviousSequence)
}

func TestRollbackAndWithdrawByHand(t *testing.T) {
	r := registered(t)
	back := func(version int) (Promotion, error) {
		return Rollback(t.Context(), r.bus, churn, RollbackOptions{Actor: "ann", Version: version})
	}
	_, err := back(0)
	require.ErrorIs(t, err, ErrNoTarget)
	_, err = Withdraw(t.Context(), r.bus, churn, WithdrawOptions{})
	require.ErrorIs(t, err, ErrNoTarget)
	for n := 1; n <= 2; n++ {
		_, err := Promote(t.Context(), r.bus, churn, n, PromoteOptions{})
		require.NoError(t, err)
	}
	_, err = back(0)
	require.ErrorIs(t, err, ErrNoTarget, "version 1 was never loaded")
	_, err = back(3)
	require.ErrorIs(t, err, ErrNoTarget, "version 3 was never Production")
	_, err = back(9)
	require.ErrorIs(t, err, ErrUnknown)

	one, _ := r.catalog().Version(churn, 1)
	r.report("a", one, 1, "")
	p, err := back(0)
	require.NoError(t, err)
	require.Equal(t, 1, p.Version)
	require.Equal(t, events.PromotedByRollback, p.Cause)
	require.False(t, p.Refuted, "a person's rollback refutes nothing")
	_, err = back(0)
	require.ErrorIs(t, err, ErrNoTarget)

	p, err = Withdraw(t.Context(), r.bus, churn, WithdrawOptions{Actor: "ann", Reason: "fire"})
	require.NoError(t, err)
	require.Zero(t, p.Version)
	_, ok := r.catalog().Production(churn)
	require.False(t, ok)
	_, err = Withdraw(t.Context(), r.bus, churn, WithdrawOptions{})
	require.ErrorIs(t, err, ErrNoTarget)
	p, err = back(0)
	require.NoError(t, err, "a withdrawal can be taken back")
	require.Equal(t, 1, p.Version)
}

// Of all who promote at once exactly one follows each state; the others are told that they were overtaken, and by whom.
func TestManyPromoteAtOnce(t *testing.T) {
	r := registered(t)
	const people = 12
	errs := make([]error, people)
	var all sync.WaitGroup
	for n := range people {
		all.Go(func() {
			_, errs[n] = Promote(t.Context(), r.bus, churn, 1+n%2, PromoteOptions{Actor: fmt.Sprint("person ", n)})
		})
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ErrOvertaken):
			require.NoError(t, err)
		}
	}
	require.Positive(t, won)
	promotions := r.catalog().Promotions(churn)
	require.LessOrEqual(t, len(promotions), won)
	for i, p := range promotions[:len(promotions)-1] {
		require.Equal(t, promotions[i+1].Sequence, p.PreviousSequence)
		require.Equal(t, promotions[i+1].Version, p.PreviousVersion)
		require.NotEqual(t, p.PreviousVersion, p.Version)
	}
}
