package drift

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

func TestIndexMatchesByHorizon(t *testing.T) {
	const day = 24 * time.Hour
	at := func(d int) time.Time { return time.Unix(0, 0).Add(time.Duration(d) * day) }
	x := newPredictionIndex(100)
	x.add("a", "kim", at(10), 1)
	x.add("b", "kim", at(20), 2)
	x.add("c", "kim", at(40), 3)
	for _, c := range []struct {
		name     string
		observed int
		labels   spec.Labels
		want     uint64
	}{
		{"at once takes the latest", 45, spec.Labels{}, 3},
		{"at the very moment", 40, spec.Labels{}, 3},
		{"before the latest", 39, spec.Labels{}, 2},
		{"before the first", 9, spec.Labels{}, 0},
		{"the one before the horizon", 52, spec.Labels{Horizon: 30 * day}, 2},
		{"exactly the horizon", 50, spec.Labels{Horizon: 30 * day}, 2},
		{"slack reaches back", 52, spec.Labels{Horizon: 30 * day, Slack: 3 * day}, 2},
		{"slack is open at its end", 52, spec.Labels{Horizon: 30 * day, Slack: 2 * day}, 0},
		{"too old for the slack", 60, spec.Labels{Horizon: 30 * day, Slack: 5 * day}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := x.match("kim", at(c.observed), c.labels)
			require.Equal(t, c.want > 0, ok)
			require.Equal(t, c.want, got)
		})
	}
	_, ok := x.match("lee", at(45), spec.Labels{})
	require.False(t, ok)
}

// Any order of times and any number that has to go: the index finds what a scan of the newest predictions finds.
func TestIndexEqualsScan(t *testing.T) {
	type made struct {
		id, entity string
		at         int64
		seq        uint64
	}
	rng := rand.New(rand.NewPCG(3, 3))
	const size = 50
	x := newPredictionIndex(size)
	var kept []made
	for i := range 5000 {
		p := made{fmt.Sprint("p", rng.IntN(3000)), fmt.Sprint("e", rng.IntN(12)), int64(i*10 + rng.IntN(200)), uint64(i + 1)}
		if rng.IntN(10) == 0 {
			p.entity = ""
		}
		known := false
		for _, k := range kept {
			known = known || k.id == p.id
		}
		x.add(p.id, p.entity, time.Unix(0, p.at), p.seq)
		if !known {
			kept = append(kept, p)
			kept = kept[max(0, len(kept)-size):]
		}
		entity, observed := fmt.Sprint("e", rng.IntN(13)), int64(i*10+rng.IntN(400)-200)
		labels := spec.Labels{Horizon: time.Duration(rng.IntN(100)), Slack: time.Duration(rng.IntN(300))}
		var want made
		for _, k := range kept {
			limit := observed - int64(labels.Horizon)
			if k.entity == entity && k.at <= limit && (labels.Slack == 0 || k.at > limit-int64(labels.Slack)) && k.at >= want.at {
				want = k
			}
		}
		got, ok := x.match(entity, time.Unix(0, observed), labels)
		require.Equal(t, want.seq > 0, ok, "step %d", i)
		require.Equal(t, want.seq, got, "step %d", i)
		someone := kept[rng.IntN(len(kept))]
		seq, ok := x.prediction(someone.id)
		require.True(t, ok)
		require.Equal(t, someone.seq, seq)
	}
	require.Len(t, x.byID, size)
	require.LessOrEqual(t, len(x.order), 2*1024+size)
}
