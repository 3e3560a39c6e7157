package registry

import (
	"flag"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/registry/fault"
)

// promotionRounds is how often sixteen promote at once; "make promotions" plays the whole 200.
var promotionRounds = flag.Int("promotion-rounds", 10, "rounds of TestSixteenPromoteAtOnce")

// Sixteen promote different versions at once, through two registries on one server that lose half of their acks. After each round exactly one version is
// Production, the history is a chain, whoever won was told so, and whoever lost was told who is Production, never to try again.
func TestSixteenPromoteAtOnce(t *testing.T) {
	const people = 16
	r := newRig(t)
	for n := 1; n <= people+1; n++ {
		r.publish(runOf(n), &events.RunCompleted{RunID: runOf(n), Experiment: "e", TargetStage: events.StageStaging, Artifacts: []events.Artifact{bundleOf(n)}})
		r.publish(runOf(n), &events.ModelRegistered{Version: n, RunID: runOf(n), Bundle: bundleOf(n), TargetStage: events.StageStaging})
		r.publish(fmt.Sprint(n), &events.ModelGated{Version: n, RunID: runOf(n), Verdict: events.VerdictStaged, Reason: ReasonTargetStaging})
	}
	proxies := [2]*bustest.Proxy{bustest.StartProxy(t, r.srv.URL()), bustest.StartProxy(t, r.srv.URL())}
	var registries [2]*running
	for i, p := range proxies {
		p.LoseEach(2, `{"stream":"LIFECYCLE"`)
		registries[i] = r.ready(func(c *Config) {
			c.Instance = fmt.Sprint(i)
			c.Bus = r.srv.Dial(t, bus.Config{Name: "registry", Source: fmt.Sprint("registry/", i), URL: p.URL()})
		})
	}
	was, since := 0, uint64(0)
	for round := range *promotionRounds {
		exact := round%2 == 0 // in the other rounds nobody says what they expect, and those who come later may win after another
		errs := make([]error, people+2)
		var all sync.WaitGroup
		begin := make(chan struct{})
		for n := 1; n <= people+1; n++ {
			if n == was || was == 0 && n > people {
				continue
			}
			all.Go(func() {
				<-begin
				tr := Transition{Model: churn, Version: n, Stage: events.StageProduction, ArchiveExisting: true, Actor: fmt.Sprint("person ", n)}
				if exact {
					tr.Expected = &was
				}
				_, errs[n] = registries[n%2].Transition(t.Context(), tr)
			})
		}
		close(begin)
		all.Wait()
		won := 0
		for n, err := range errs {
			switch {
			case n == 0 || n == was || was == 0 && n > people:
			case err == nil:
				won++
			default:
				require.Equal(t, fault.Conflict, fault.CodeOf(err), "round %d: %v", round, err)
				require.ErrorIs(t, err, ErrOvertaken)
				require.ErrorContains(t, err, "is Production since sequence")
			}
		}
		c := r.catalog()
		require.Len(t, c.models[churn].inProduction(), 1, "round %d", round)
		fresh := 0
		for _, p := range c.Promotions(churn) {
			if p.Sequence <= since {
				break
			}
			fresh++
			require.NoError(t, errs[p.Version], "round %d: version %d won and was told so", round, p.Version)
		}
		require.Equal(t, won, fresh, "round %d", round)
		require.True(t, won == 1 || !exact && won > 1, "round %d: %d won", round, won)
		now, _ := c.Promotion(churn)
		was, since = now.Version, now.Sequence
	}
	previous := Promotion{}
	promotions := r.catalog().Promotions(churn)
	for i := len(promotions) - 1; i >= 0; i-- {
		require.Equal(t, previous.Sequence, promotions[i].PreviousSequence)
		require.Equal(t, previous.Version, promotions[i].PreviousVersion)
		previous = promotions[i]
	}
	require.Positive(t, proxies[0].Lost()+proxies[1].Lost(), "acks were lost")
	require.Empty(t, r.deadLetters())
}
