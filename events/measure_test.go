package events_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

func TestLatencyBounds(t *testing.T) {
	bounds := events.LatencyBounds()
	require.Len(t, bounds, events.LatencyBuckets-1)
	require.Equal(t, 10*time.Microsecond, bounds[0])
	require.Equal(t, 20*time.Microsecond, bounds[2])
	require.Equal(t, 10240*time.Microsecond, bounds[20])
	for i := 1; i < len(bounds); i++ {
		require.InDelta(t, math.Sqrt2, float64(bounds[i])/float64(bounds[i-1]), 1e-4)
	}
	last := bounds[len(bounds)-1]
	require.LessOrEqual(t, last, time.Minute)
	require.Greater(t, time.Duration(float64(last)*math.Sqrt2), time.Minute, "one more bound would fit")
	bounds[0] = 0
	require.Equal(t, 10*time.Microsecond, events.LatencyBounds()[0], "the slice is the caller's own")
}

func TestLatencyBucket(t *testing.T) {
	bounds := events.LatencyBounds()
	for i, b := range bounds {
		require.Equal(t, i, events.LatencyBucket(b), "a bound is inclusive")
		require.Equal(t, i+1, events.LatencyBucket(b+1))
	}
	require.Zero(t, events.LatencyBucket(0))
	require.Zero(t, events.LatencyBucket(-time.Second))
	require.Equal(t, events.LatencyBuckets-1, events.LatencyBucket(math.MaxInt64))
}

// The quantile of counted latencies is within a bucket's width of that of the latencies themselves.
func TestLatencyQuantile(t *testing.T) {
	buckets := make([]uint64, events.LatencyBuckets)
	for i := range 1000 {
		buckets[events.LatencyBucket(time.Duration(i+1)*100*time.Microsecond)]++
	}
	for _, q := range []float64{0.05, 0.5, 0.95, 0.99, 1} {
		got, ok := events.LatencyQuantile(buckets, q)
		require.True(t, ok)
		require.InEpsilon(t, q*100*float64(time.Millisecond), float64(got), math.Sqrt2-1, "q %v", q)
	}
	previous := time.Duration(0)
	for q := 0.0; q <= 1; q += 0.01 {
		got, _ := events.LatencyQuantile(buckets, q)
		require.GreaterOrEqual(t, got, previous, "q %v", q)
		previous = got
	}
}

func TestLatencyQuantileAtTheEdges(t *testing.T) {
	bounds := events.LatencyBounds()
	one := make([]uint64, events.LatencyBuckets)
	one[7] = 3
	got, ok := events.LatencyQuantile(one, 0)
	require.True(t, ok)
	require.Equal(t, bounds[6], got)
	got, _ = events.LatencyQuantile(one, 1)
	require.InDelta(t, float64(bounds[7]), float64(got), 1)
	first := make([]uint64, events.LatencyBuckets)
	first[0] = 1
	got, _ = events.LatencyQuantile(first, 1)
	require.Equal(t, bounds[0], got)
	over := make([]uint64, events.LatencyBuckets)
	over[events.LatencyBuckets-1] = 1
	got, ok = events.LatencyQuantile(over, 0.5)
	require.True(t, ok)
	require.Equal(t, bounds[len(bounds)-1], got, "what is above the last bound counts as it")
	for name, buckets := range map[string][]uint64{"nil": nil, "nothing counted": make([]uint64, events.LatencyBuckets), "too many": make([]uint64, events.LatencyBuckets+1)} {
		if len(buckets) > events.LatencyBuckets {
			buckets[0] = 1
		}
		_, ok := events.LatencyQuantile(buckets, 0.5)
		require.False(t, ok, name)
	}
	for _, q := range []float64{-0.1, 1.1, math.NaN()} {
		_, ok := events.LatencyQuantile(one, q)
		require.False(t, ok, "q %v", q)
	}
}

func TestScoreBin(t *testing.T) {
	for _, tt := range []struct {
		score float64
		want  int
	}{{0, 0}, {0.0499, 0}, {0.05, 1}, {0.5, 10}, {0.95, 19}, {1, 19}, {1.5, 19}, {-1, 0}, {math.NaN(), 0}, {math.Inf(1), 19}} {
		require.Equal(t, tt.want, events.ScoreBin(tt.score), "score %v", tt.score)
	}
}
