package inference

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
)

// stageSet is a slot with a Production of version 1 at sequence 10 and two bundles to put in it.
type stageSet struct {
	*slot
	one, two *model.Bundle
}

func newStage(t testing.TB) *stageSet {
	t.Helper()
	s := &stageSet{
		slot: newSlot("m", app.NewHealth(), func() bool { return true }, newMeterBook(time.Now)),
		one:  fitted(t, 1),
		two:  fitted(t, 2),
	}
	s.exchange(NewPredictor("m", s.one, Promotion{Version: 1, Digest: "one", Sequence: 10}))
	return s
}

// fits are bundles by their seed, each made once.
var fits sync.Map

func fitted(t testing.TB, seed uint64) *model.Bundle {
	t.Helper()
	if b, ok := fits.Load(seed); ok {
		return b.(*model.Bundle)
	}
	b := modeltest.Bundle(t, modeltest.Options{Seed: seed, Relation: seed})
	fits.Store(seed, b)
	return b
}

// canaryOf is a running canary of version 2 beside the promotion at a sequence.
func canaryOf(revision int, share float64, production uint64) standing {
	return standing{revision: revision, state: events.RolloutRunning, mode: events.RolloutCanary,
		split: &split{revision: revision, version: 2, digest: "two", share: share, production: production}}
}

func (s *stageSet) begin(t testing.TB, revision int, share float64) *serving {
	t.Helper()
	s.slot.turn(canaryOf(revision, share, 10))
	if s.cast() == nil {
		require.True(t, s.join(&opened{digest: "two", bundle: s.two}))
	}
	v := s.now()
	require.Equal(t, revision, v.revision)
	require.Equal(t, share, v.share)
	return v
}

func entities(n int, seed uint64) []string {
	rng := rand.New(rand.NewPCG(seed, 7))
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%04d-%c%c%c", rng.IntN(10000), 'A'+rng.IntN(26), 'A'+rng.IntN(26), 'A'+rng.IntN(26))
	}
	return out
}

func TestTheSplitIsTheHashOfModelVersionAndEntity(t *testing.T) {
	s := newStage(t)
	v := s.begin(t, 1, 0.3)
	for _, e := range entities(2000, 1) {
		_, a := v.route(e)
		bucket := xxhash.Sum64String("m/2\x00" + e)
		want := armProduction
		if float64(bucket) < 0.3*math.Pow(2, 64) {
			want = armCanary
		}
		require.Equal(t, want, a, e)
	}
}

func TestTheShareOfEntitiesIsBinomial(t *testing.T) {
	s := newStage(t)
	const n = 40000
	for k, share := range []float64{0.01, 0.05, 0.25, 0.5, 0.9} {
		v, hits := s.begin(t, k+1, share), 0
		for i := range n {
			p, a := v.route(fmt.Sprintf("customer-%d", i))
			if a == armCanary {
				hits++
				require.Equal(t, 2, p.promotion.Version)
			} else {
				require.Equal(t, 1, p.promotion.Version)
			}
		}
		require.InDelta(t, share*n, hits, 5*math.Sqrt(n*share*(1-share)), "share %v", share)
	}
}

func TestASmallerShareIsASubsetOfAGreaterOne(t *testing.T) {
	s := newStage(t)
	before := map[string]bool{}
	for k, share := range []float64{0.05, 0.25, 0.6, 1} {
		v, now := s.begin(t, k+1, share), map[string]bool{}
		for _, e := range entities(5000, 3) {
			if _, a := v.route(e); a == armCanary {
				now[e] = true
			}
		}
		for e := range before {
			require.True(t, now[e], "%s was with the candidate at a smaller share", e)
		}
		require.Greater(t, len(now), len(before))
		before = now
	}
	for _, e := range entities(5000, 3) {
		require.True(t, before[e], "a share of 1 is everyone")
	}
}

func TestEveryInstanceSplitsAlike(t *testing.T) {
	a, b := newStage(t), newStage(t)
	b.exchange(NewPredictor("m", b.two, Promotion{Version: 7, Digest: "seven", Sequence: 9})) // another past
	b.exchange(NewPredictor("m", b.one, Promotion{Version: 1, Digest: "one", Sequence: 10}))
	va, vb := a.begin(t, 3, 0.2), b.begin(t, 3, 0.2)
	for _, e := range entities(5000, 5) {
		pa, wa := va.route(e)
		pb, wb := vb.route(e)
		require.Equal(t, wa, wb, e)
		require.Equal(t, pa.promotion, pb.promotion, e)
	}
}

func TestARecordWithoutEntityGoesToProduction(t *testing.T) {
	s := newStage(t)
	for k, share := range []float64{0.5, 1} {
		p, a := s.begin(t, k+1, share).route("")
		require.Equal(t, armProduction, a)
		require.Equal(t, 1, p.promotion.Version)
	}
}

func TestASplitHoldsOnlyBesideThePromotionItNames(t *testing.T) {
	s := newStage(t)
	s.slot.turn(canaryOf(1, 0.5, 10))
	require.Zero(t, s.now().revision, "the candidate is not loaded")
	require.Contains(t, noteOf(t, s.slot), `"in_force":false,"candidate":2,"share":0.5,"detail":"version 2 is being loaded"`)
	require.False(t, s.join(&opened{digest: "three", bundle: s.two}), "another bundle")
	c := s.begin(t, 2, 0.4).candidate
	require.Same(t, c, s.begin(t, 2, 0.5).candidate, "the same revision with another share, of a stream that was made anew")
	require.Contains(t, noteOf(t, s.slot), `"revision":2,"in_force":true,"candidate":2,"share":0.5`)

	s.exchange(NewPredictor("m", s.one, Promotion{Version: 1, Digest: "one", Sequence: 11})) // promoted again
	v := s.now()
	require.Zero(t, v.revision)
	require.Nil(t, v.candidate)
	require.Zero(t, v.share)
	require.Contains(t, noteOf(t, s.slot), "it stands beside the promotion 10, and Production is by 11")

	s.slot.turn(canaryOf(3, 0.5, 11))
	require.Equal(t, 3, s.now().revision, "the candidate is open already")
	s.withdraw(Promotion{Sequence: 12})
	_, err := s.take()
	require.Contains(t, err.Text, "withdrawn")
	require.Zero(t, s.now().revision)
	require.Contains(t, noteOf(t, s.slot), "there is no Production")
}

func noteOf(t testing.TB, s *slot) string {
	t.Helper()
	b, err := s.health.MarshalJSON()
	require.NoError(t, err)
	return string(b)
}

// TestHealthIsAskedWhileVersionsChange would hang if the two waited for each other's locks.
func TestHealthIsAskedWhileVersionsChange(t *testing.T) {
	s := newStage(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 2000 {
			s.exchange(NewPredictor("m", s.one, Promotion{Version: 1, Digest: "one", Sequence: 10}))
			s.slot.turn(canaryOf(n+1, 0.5, 10))
			s.join(&opened{digest: "two", bundle: s.two})
			s.suspend(n%2 == 0)
			s.withdraw(Promotion{Sequence: 11})
		}
	}()
	for asked := true; asked; {
		select {
		case <-done:
			asked = false
		default:
			require.Contains(t, noteOf(t, s.slot), "rollout")
		}
	}
}

func TestEveryOtherRolloutIsNoSplit(t *testing.T) {
	for _, r := range []standing{
		{}, {revision: 2, state: events.RolloutAborted, mode: events.RolloutCanary}, {revision: 2, state: events.RolloutRunning, mode: events.RolloutShadow},
		{revision: 2, state: events.RolloutCompleted, mode: events.RolloutDirect}, {revision: 2, state: events.RolloutRolledBack, mode: events.RolloutCanary},
	} {
		s := newStage(t)
		s.begin(t, 1, 0.5)
		s.slot.turn(r)
		v := s.now()
		require.Zero(t, v.revision)
		require.Nil(t, v.candidate)
		require.Nil(t, s.cast(), "it holds no memory")
		require.Nil(t, v.version(2))
	}
}

func TestVersionsThatAreHeld(t *testing.T) {
	s := newStage(t)
	v := s.begin(t, 1, 0.5)
	require.Equal(t, 1, v.version(1).promotion.Version)
	require.Same(t, v.candidate, v.version(2))
	require.Nil(t, v.version(3))
	require.Nil(t, v.version(0))

	s.exchange(NewPredictor("m", s.two, Promotion{Version: 2, Digest: "two", Sequence: 11}))
	v = s.now()
	require.Same(t, v.production, v.version(2))
	require.Equal(t, uint64(10), v.version(1).promotion.Sequence, "the former Production is held")
	require.NotNil(t, s.held("one"))
	s.exchange(NewPredictor("m", s.one, Promotion{Version: 3, Digest: "three", Sequence: 12}))
	require.Nil(t, s.now().version(1), "one former version at a time")
	require.NotNil(t, s.now().version(2))
	s.withdraw(Promotion{Sequence: 13})
	require.NotNil(t, s.held("three"), "a rollback would go there")
}

func TestRoutingAndCountingAllocateNothing(t *testing.T) {
	s := newStage(t)
	v := s.begin(t, 1, 0.5)
	ids := entities(64, 1)
	i := 0
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now, _ := s.take()
		p, a := now.route(ids[i%len(ids)])
		m := now.meter(p, a)
		m.request(1, 30*time.Microsecond)
		m.score(0.31, "")
		now.meter(v.version(2), armNamed).error()
		i++
	}))
}

func BenchmarkRoute(b *testing.B) {
	s := newStage(b)
	v := s.begin(b, 1, 0.25)
	ids := entities(1024, 1)
	for i := 0; b.Loop(); i++ {
		p, a := v.route(ids[i&1023])
		if v.meter(p, a) == nil {
			b.Fatal("no meter")
		}
	}
}

func BenchmarkMeter(b *testing.B) {
	s := newStage(b)
	m := s.now().meters[armProduction]
	require.NotNil(b, m.reference)
	b.Run("one", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			m.request(1, time.Duration(i&0xffff)*100)
			m.score(float64(i&1023)/1024, "")
		}
	})
	b.Run("all processors", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				m.request(1, time.Duration(i&0xffff)*100)
				m.score(float64(i&1023)/1024, "")
			}
		})
	})
}
