package inference

import (
	"fmt"
	"math"
	"math/bits"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
)

func TestLatencyBucketsAreThoseOfTheEvent(t *testing.T) {
	for _, took := range []time.Duration{-1, 0, 1, 9999, 10 * time.Microsecond, 10*time.Microsecond + 1, time.Millisecond, time.Minute - 1, time.Minute, time.Hour, math.MaxInt64} {
		require.Equal(t, events.LatencyBucket(took), latencyBucket(took), took.String())
	}
	for i, bound := range events.LatencyBounds() {
		require.Equal(t, i, latencyBucket(bound))
		require.Equal(t, i+1, latencyBucket(bound+1))
	}
	for ns := time.Duration(1); ns > 0 && ns < 200*time.Second; ns = ns*21/20 + 1 {
		require.Equal(t, events.LatencyBucket(ns), latencyBucket(ns), ns.String())
	}
}

func TestReferenceBinsAreThoseOfTheBaseline(t *testing.T) {
	m := newStage(t).now().meters[armProduction]
	ref := m.reference
	for _, p := range append([]float64{0, 1, math.Nextafter(1, 0), math.Nextafter(0, 1), -1, 2, math.NaN(), math.Inf(1)}, ref.Edges...) {
		for _, p := range []float64{p, math.Nextafter(p, 2), math.Nextafter(p, -2)} {
			require.Equal(t, ref.BinNumeric(p), m.referenceBin(p), "%v", p)
		}
	}
	for i := range 5000 {
		p := float64(i) / 4096
		require.Equal(t, ref.BinNumeric(p), m.referenceBin(p), "%v", p)
	}
}

func TestAMeterCountsWhatWasAnsweredAndWhatFailed(t *testing.T) {
	s := newStage(t)
	m := s.now().meters[armProduction]
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i := range 1000 {
				m.request(2, 20*time.Microsecond)
				m.score(float64(i)/1000, "")
				m.score(1, "")
			}
			m.error()
			m.fallback()
		})
	}
	wait.Wait()
	at := time.Now()
	v, _ := m.measure(at)
	require.Equal(t, events.VersionMeasurement{Version: 1, Digest: "one", PromotionSequence: 10, Arm: events.ArmProduction, Requests: 4008, Records: 8000,
		Errors: 8, Fallbacks: 4, LatencyBuckets: v.LatencyBuckets, Scores: v.Scores, ReferenceBins: v.ReferenceBins, Entities: v.Entities,
		From: m.from, To: at}, v)
	require.Len(t, v.LatencyBuckets, events.LatencyBuckets)
	require.Equal(t, uint64(4000), v.LatencyBuckets[events.LatencyBucket(20*time.Microsecond)])
	require.Len(t, v.Scores, events.ScoreBins)
	require.Equal(t, uint64(4200), v.Scores[events.ScoreBins-1])
	ref := &s.one.Baselines.Reference.Score
	want := ref.NewCounter()
	for i := range 1000 {
		want.Add(ref.BinNumeric(float64(i) / 1000))
		want.Add(ref.BinNumeric(1))
	}
	for i, n := range want.Counts() {
		require.Equal(t, uint64(4*n), v.ReferenceBins[i], "bin %d", i)
	}
	var none *meter
	none.request(1, 1)
	none.score(1, "")
	none.error()
	none.fallback()
}

// withDigest gives the measurements digests as events carry them.
func withDigest(vs []events.VersionMeasurement) []events.VersionMeasurement {
	out := append([]events.VersionMeasurement(nil), vs...)
	for i := range out {
		out[i].Digest = string(artifact.DigestOf([]byte(out[i].Digest)))
	}
	return out
}

func TestMetersLiveUnderTheirKey(t *testing.T) {
	s := newStage(t)
	at := time.Now()
	s.book.now = func() time.Time { return at }
	alone := s.now().meters[armProduction]
	alone.request(1, time.Millisecond)
	v := s.begin(t, 1, 0.5)
	require.NotSame(t, alone, v.meters[armProduction], "Production beside a candidate is counted apart")
	v.meters[armCanary].request(1, time.Millisecond)
	v.meter(v.version(2), armNamed).request(3, time.Millisecond)
	s.begin(t, 2, 0.6)
	s.slot.turn(standing{revision: 3, state: events.RolloutAborted, mode: events.RolloutCanary})
	require.Same(t, alone, s.now().meters[armProduction], "without a split again, it goes on counting")

	r := s.book.read()
	require.Len(t, r.versions, 3, "what counted nothing is left out")
	for i, want := range []events.VersionMeasurement{{Version: 1, Arm: events.ArmProduction}, {Version: 2, Arm: events.ArmDirect}, {Version: 2, Revision: 1, Arm: events.ArmCanary}} {
		got := r.versions[i]
		require.Equal(t, want, events.VersionMeasurement{Version: got.Version, Revision: got.Revision, Arm: got.Arm})
	}
	require.NoError(t, (&events.ServingMeasured{Serving: events.Serving{Instance: "i", Boot: "b"}, Versions: withDigest(r.versions)}).Validate())
	s.book.forget(r)
	require.Len(t, s.book.read().versions, 3, "a meter is kept for a while")
	at = at.Add(meterKept + 1)
	r = s.book.read()
	v.meters[armCanary].request(1, time.Millisecond) // a request that took its time
	s.book.forget(r)
	require.Len(t, s.book.read().versions, 3, "what was not published is kept")
	s.book.forget(s.book.read())
	r = s.book.read()
	require.Len(t, r.versions, 2, "a revision never comes back; what is counted without one does")
	require.Zero(t, r.versions[0].Revision+r.versions[1].Revision)
	require.Same(t, alone, s.now().meters[armProduction])
	s.exchange(NewPredictor("m", s.two, Promotion{Version: 2, Digest: "two", Sequence: 11}))
	at = at.Add(meterKept + 1)
	s.exchange(NewPredictor("m", s.one, Promotion{Version: 3, Digest: "one", Sequence: 12})) // version 1 is not held any more
	at = at.Add(meterKept + 1)
	s.book.forget(s.book.read())
	require.Empty(t, s.book.read().versions)
}

// TestCountsArePublishedAtThePaceOfWhatIsWatched turns the clock instead of waiting.
func TestCountsArePublishedAtThePaceOfWhatIsWatched(t *testing.T) {
	s := newStage(t)
	at := time.Now()
	s.book.now = func() time.Time { return at }
	p := newMeasurer(nil, s.slot, s.book)
	published := func() {
		t.Helper()
		r := s.book.read()
		require.True(t, p.due(r))
		p.published = r
		require.False(t, p.due(s.book.read()), "nothing has changed")
	}
	answered := func() { s.now().meters[armProduction].request(1, time.Millisecond) }
	late := func(by time.Duration) { // a moment before it is due, and when it is
		t.Helper()
		answered()
		at = p.published.at.Add(by - 1)
		require.False(t, p.due(s.book.read()))
		at = at.Add(1)
		published()
	}
	answered()
	published()
	answered()
	published() // a fresh Production
	at = at.Add(freshFor)
	answered()
	published()
	late(measureOften)
	at = s.now().since.Add(watchedFor)
	answered()
	published()
	late(measureIdle)
	s.begin(t, 1, 0.5)
	answered()
	published()
	answered()
	published() // a fresh canary
	at = at.Add(freshFor)
	answered()
	published()
	late(measureOften)
	former := s.now().meters[armCanary]
	s.slot.turn(standing{revision: 2, state: events.RolloutAborted, mode: events.RolloutCanary})
	answered()
	require.False(t, p.due(s.book.read()))
	former.request(1, time.Millisecond) // ended meanwhile: it is waited for by those who judge
	published()
}

func TestAnEntityIsScoredOnceInAWhile(t *testing.T) {
	m := newStage(t).now().meters[armProduction]
	for range 500 {
		for e := range 10 {
			m.score(float64(e)/10, fmt.Sprint("customer-", e))
		}
		m.score(0.95, "")
	}
	v, _ := m.measure(time.Now())
	total := uint64(0)
	for _, n := range v.Scores[:events.ScoreBins-1] {
		total += n
	}
	require.GreaterOrEqual(t, total, uint64(10), "each entity once")
	require.Less(t, total, uint64(100), "and again when all was forgotten, which is seldom")
	require.Equal(t, uint64(500), v.Scores[events.ScoreBins-1], "who has no id is counted each time")
	for e := range 2000 {
		m.score(0.95, fmt.Sprint("another-", e))
	}
	v, _ = m.measure(time.Now())
	require.Greater(t, v.Scores[events.ScoreBins-1], uint64(2400), "few are taken for others")
}

func TestTheEntitiesThatWereScoredAreTold(t *testing.T) {
	m := newStage(t).now().meters[armProduction]
	for range 3 {
		for e := range 100 {
			m.score(0.5, fmt.Sprint("customer-", e))
		}
	}
	v, _ := m.measure(time.Now())
	require.Len(t, v.Entities, events.EntityWords)
	word, bit := events.EntityBit(xxhash.Sum64String("customer-7"))
	require.NotZero(t, v.Entities[word]&bit)
	set := 0
	for _, w := range v.Entities {
		set += bits.OnesCount64(w)
	}
	require.InDelta(t, 100, set, 8)
}
