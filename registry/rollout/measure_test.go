package rollout

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

func report(instance, boot string, versions ...events.VersionMeasurement) *events.ServingMeasured {
	return &events.ServingMeasured{Serving: events.Serving{Instance: instance, Boot: boot}, Versions: versions}
}

// measured is n records of a version under a revision, each a request, with their scores and latencies in one bucket.
func measured(version, revision int, arm events.Arm, n uint64) events.VersionMeasurement {
	v := events.VersionMeasurement{
		Version: version, Digest: "d", PromotionSequence: 7, Revision: revision, Arm: arm, Requests: n, Records: n,
		LatencyBuckets: make([]uint64, events.LatencyBuckets), Scores: make([]uint64, events.ScoreBins),
		From: time.Unix(100, 0), To: time.Unix(100+int64(n), 0),
	}
	v.LatencyBuckets[3], v.Scores[4] = n, n
	return v
}

func all(Key) bool { return true }

// TestTheFoldDoesNotDependOnOrderOrDuplicates takes the reports of several lives of several instances, whose counts grow, in random orders,
// some twice and all but the last of each life perhaps lost.
func TestTheFoldDoesNotDependOnOrderOrDuplicates(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var reports []*events.ServingMeasured
		want := uint64(0)
		for _, instance := range []string{"a", "b", "c"} {
			for _, boot := range []string{"1", "2"} {
				n := uint64(0)
				lives := 1 + r.IntN(5)
				for i := range lives {
					n += uint64(r.IntN(9000))
					p := report(instance, boot, measured(2, 1, events.ArmCanary, n), measured(9, 0, events.ArmDirect, n))
					if i == lives-1 || r.IntN(3) > 0 {
						reports = append(reports, p)
					}
					if r.IntN(4) == 0 {
						reports = append(reports, p)
					}
				}
				want += n
			}
		}
		r.Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
		var m Measurements
		for i, p := range reports {
			m.Apply(uint64(len(reports)-i), p)
		}
		got, names := m.Sum(all)
		require.Equal(t, want, got.Records, "seed %d", seed)
		require.Equal(t, want, got.Scores[4])
		require.Equal(t, want, got.Latency[3])
		require.Equal(t, []string{"a", "b", "c"}, names)
		require.Equal(t, uint64(len(reports)), m.Through())
		require.Empty(t, func() []string { _, n := m.Sum(func(k Key) bool { return k.Version == 9 }); return n }(), "who named a version is not counted")
	}
}

func TestTheLastRecordsAreAWindow(t *testing.T) {
	var m Measurements
	for n := uint64(0); n <= 100_000; n += 100 {
		m.Apply(n+1, report("a", "1", measured(2, 0, events.ArmProduction, n)))
		got := m.Recent(all)
		require.LessOrEqual(t, got.Records, uint64(2*recentRecords))
		require.GreaterOrEqual(t, got.Records, min(n, recentRecords))
		require.Equal(t, got.Records, got.Scores[4])
	}
}

// entities is what is told of so many.
func entities(n int) []uint64 {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]uint64, events.EntityWords)
	for range n {
		word, bit := events.EntityBit(r.Uint64())
		out[word] |= bit
	}
	return out
}

func TestEntitiesAreCountedOnceOverAllInstances(t *testing.T) {
	for _, n := range []int{0, 1, 30, 300, 1000, 5000} {
		for _, told := range [][]uint64{entities(n), nil} {
			var m Measurements
			for k, name := range []string{"a", "b", "c"} {
				v := measured(2, 1, events.ArmCanary, uint64(n))
				v.Entities = told
				m.Apply(uint64(k+1), report(name, "1", v))
			}
			c, _ := m.Sum(all)
			if told == nil {
				require.Equal(t, 3*n, c.scored(), "it is not told who they are")
				continue
			}
			require.InEpsilon(t, 1+n, 1+c.scored(), 0.1)
		}
	}
	c := Counts{Scores: []uint64{20}, Entities: entities(1000)}
	require.Equal(t, 20, c.scored(), "never more than there are scores")
	c = Counts{Scores: []uint64{90_000}, Entities: entities(80_000)}
	require.Equal(t, 90_000, c.scored(), "more than can be told apart")
}

func TestTheLastRecordsAreThoseOfAnInstanceAndHoldScores(t *testing.T) {
	var m Measurements
	seq, now := uint64(0), time.Unix(1000, 0)
	answered := func(boot string, promotion uint64, revision int, every uint64) { // 60,000 records, of which one in so many counts a score
		for n := uint64(1000); n <= 60_000; n += 1000 {
			seq, now = seq+1, now.Add(time.Second)
			v := measured(2, revision, events.ArmProduction, n)
			v.PromotionSequence, v.To, v.Scores[4] = promotion, now, n/every
			m.Apply(seq, report("a", boot, v))
		}
	}
	answered("1", 7, 0, 1)
	answered("1", 8, 1, 1)
	answered("2", 9, 0, 1)
	got := m.Recent(all)
	require.LessOrEqual(t, got.Records, uint64(2*recentRecords), "an instance counts once, whatever it answered under before")
	answered("3", 9, 0, 20) // few customers, again and again
	got = m.Recent(all)
	require.GreaterOrEqual(t, got.Scores[4], uint64(recentScores), "there is something to compare scores with")
	require.LessOrEqual(t, got.Records, uint64(2*20*recentScores))
	answered("4", 9, 0, 1_000_000)
	got = m.Recent(all)
	require.GreaterOrEqual(t, got.Scores[4], uint64(recentScores), "they are looked for in its former life")
}

func TestWhatIsCountedNowIsNotForgotten(t *testing.T) {
	var m Measurements
	for n := range 2 * maxKeys { // canaries beside one Production, which answers between them
		at := time.Unix(int64(n), 0)
		m.Apply(uint64(n+1), report("a", "1",
			events.VersionMeasurement{Version: 2, PromotionSequence: 7, Arm: events.ArmProduction, Records: uint64(n + 1), To: at},
			events.VersionMeasurement{Version: 3, PromotionSequence: 7, Revision: n + 1, Arm: events.ArmCanary, Records: 1, To: at}))
	}
	got, _ := m.Sum(func(k Key) bool { return k.Revision == 0 })
	require.Equal(t, uint64(2*maxKeys), got.Records)
	require.Contains(t, m.keys, Key{Version: 2, Promotion: 7, Arm: events.ArmProduction})
}

func TestCountsThatLieDoNotOverflow(t *testing.T) {
	var m Measurements
	huge := measured(2, 1, events.ArmCanary, math.MaxUint64)
	m.Apply(1, report("a", "1", huge))
	m.Apply(2, report("b", "1", huge))
	short := measured(2, 1, events.ArmCanary, 5)
	short.LatencyBuckets, short.Scores, short.ReferenceBins = nil, nil, []uint64{1, 2}
	m.Apply(3, report("c", "1", short))
	got, _ := m.Sum(all)
	require.Equal(t, uint64(math.MaxUint64), got.Records)
	checks := Judge(WatchOf(defaults()), Sides{Watched: got, Other: got, OtherVersion: 1}, true)
	require.Len(t, checks, 4)
	for _, c := range checks {
		require.NotEqual(t, events.CheckBreached, c.State, c.Detail)
		require.False(t, math.IsNaN(c.Value) || math.IsInf(c.Value, 0))
	}
}

func TestOldKeysAreForgotten(t *testing.T) {
	var m Measurements
	for n := range 10 * maxKeys {
		m.Apply(uint64(n+1), report("a", "1", events.VersionMeasurement{Version: 2, PromotionSequence: uint64(n), Arm: events.ArmProduction, Records: 1}))
	}
	require.Len(t, m.keys, maxKeys)
	got, _ := m.Sum(func(k Key) bool { return k.Promotion == 10*maxKeys-1 })
	require.Equal(t, uint64(1), got.Records)
}
