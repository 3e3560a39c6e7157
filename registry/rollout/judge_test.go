package rollout

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/spec"
)

func defaults() spec.Watch { return spec.DefaultRollout().Watch }

// traffic is what a version answered, drawn at random.
type traffic struct {
	n        int
	errors   int
	latency  func(*rand.Rand) time.Duration
	score    func(*rand.Rand) float64
	baseline *baseline.Reference
}

func fast(r *rand.Rand) time.Duration {
	return time.Duration(float64(100*time.Microsecond) * math.Exp(0.5*r.NormFloat64()))
}

// churnScore is skewed as those of a churn model are.
func churnScore(r *rand.Rand) float64 { return math.Pow(r.Float64(), 2) }

func inverted(r *rand.Rand) float64 { return 1 - churnScore(r) }

func (x traffic) counts(r *rand.Rand) Counts {
	c := Counts{
		Requests: uint64(x.n), Records: uint64(x.n - x.errors), Errors: uint64(x.errors), Latency: make([]uint64, events.LatencyBuckets),
		Scores: make([]uint64, events.ScoreBins),
	}
	if x.baseline != nil {
		c.Reference = make([]uint64, x.baseline.Bins())
	}
	for range x.n - x.errors {
		if x.latency != nil {
			c.Latency[events.LatencyBucket(x.latency(r))]++
		}
		if x.score != nil {
			s := x.score(r)
			c.Scores[events.ScoreBin(s)]++
			if x.baseline != nil {
				c.Reference[x.baseline.BinNumeric(s)]++
			}
		}
	}
	return c
}

func referenceOf(t *testing.T, r *rand.Rand, score func(*rand.Rand) float64) *baseline.Reference {
	t.Helper()
	values := make([]float64, 1400)
	for i := range values {
		values[i] = score(r)
	}
	ref, err := baseline.FitScore(values, 10)
	require.NoError(t, err)
	return &ref
}

func stateOf(t *testing.T, checks []events.EvidenceCheck, name string) events.EvidenceCheck {
	t.Helper()
	i := slices.IndexFunc(checks, func(c events.EvidenceCheck) bool { return c.Check == name })
	require.GreaterOrEqual(t, i, 0, "no check %s", name)
	return checks[i]
}

func TestJudgeErrors(t *testing.T) {
	for _, c := range []struct {
		name                 string
		n, errors            uint64
		otherN, otherErrors  uint64
		duringStep, whenOver events.CheckState
	}{
		{"nothing", 0, 0, 0, 0, events.CheckInsufficient, events.CheckInsufficient},
		{"19 requests tell nothing", 19, 19, 500, 0, events.CheckInsufficient, events.CheckInsufficient},
		{"all of 20 fail", 20, 20, 500, 0, events.CheckBreached, events.CheckBreached},
		{"one of 20 is chance", 20, 1, 500, 0, events.CheckOK, events.CheckOK},
		{"three of 20 at the end", 20, 3, 500, 0, events.CheckOK, events.CheckBreached},
		{"1 % of 500 is at the limit", 500, 5, 500, 0, events.CheckOK, events.CheckOK},
		{"2.4 % of 500 at the end", 500, 12, 500, 0, events.CheckOK, events.CheckBreached},
		{"5 % of 500", 500, 25, 500, 0, events.CheckBreached, events.CheckBreached},
		{"5 % as the other one", 500, 25, 500, 25, events.CheckOK, events.CheckOK},
		{"50 % where the other fails 5 %", 500, 250, 500, 25, events.CheckBreached, events.CheckBreached},
		{"the other fails always", 500, 500, 500, 500, events.CheckOK, events.CheckOK},
		{"no other", 500, 25, 0, 0, events.CheckBreached, events.CheckBreached},
		{"more errors than requests", 20, 50, 0, 0, events.CheckBreached, events.CheckBreached},
		{"1.2 % of a million", 1_000_000, 12_000, 0, 0, events.CheckBreached, events.CheckBreached},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Sides{Watched: Counts{Requests: c.n, Errors: c.errors}, Other: Counts{Requests: c.otherN, Errors: c.otherErrors}, OtherVersion: 1}
			got := stateOf(t, Judge(WatchOf(defaults()), s, false), CheckErrors)
			require.Equal(t, c.duringStep, got.State, got)
			got = stateOf(t, Judge(WatchOf(defaults()), s, true), CheckErrors)
			require.Equal(t, c.whenOver, got.State, got)
		})
	}
}

func TestJudgeLatency(t *testing.T) {
	slow := func(by float64) func(*rand.Rand) time.Duration {
		return func(r *rand.Rand) time.Duration { return time.Duration(by * float64(fast(r))) }
	}
	for _, c := range []struct {
		name  string
		n     int
		own   func(*rand.Rand) time.Duration
		other func(*rand.Rand) time.Duration
		want  events.CheckState
	}{
		{"alike", 500, fast, fast, events.CheckOK},
		{"ten times as slow, and under the floor", 500, slow(10), fast, events.CheckOK},
		{"a hundred times as slow", 500, slow(100), fast, events.CheckBreached},
		{"both slow", 500, slow(200), slow(100), events.CheckOK},
		{"both slow, one much more", 500, slow(1000), slow(100), events.CheckBreached},
		{"too few", 299, slow(100), fast, events.CheckInsufficient},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(5) {
				r := rand.New(rand.NewPCG(seed, 2))
				s := Sides{Watched: traffic{n: c.n, latency: c.own}.counts(r), Other: traffic{n: 500, latency: c.other}.counts(r), OtherVersion: 1}
				got := stateOf(t, Judge(WatchOf(defaults()), s, false), CheckP95)
				require.Equal(t, c.want, got.State, got)
			}
		})
	}
}

// TestJudgeScores holds the rule against what it is for: only a version that agrees neither with its own reference nor with the version beside it is
// wrong in its scores.
func TestJudgeScores(t *testing.T) {
	drifted := func(r *rand.Rand) float64 { return math.Pow(r.Float64(), 0.7) }
	constant := func(*rand.Rand) float64 { return 0.31 }
	half := func(*rand.Rand) float64 { return 0.5 }
	for _, c := range []struct {
		name           string
		reference      func(*rand.Rand) float64 // nil: the bundle has none
		watched, other func(*rand.Rand) float64
		n              int
		want           events.CheckState
	}{
		{"sound", churnScore, churnScore, churnScore, 300, events.CheckOK},
		{"the data drifted, both follow", churnScore, drifted, drifted, 500, events.CheckOK},
		{"trained for the drift", drifted, drifted, churnScore, 500, events.CheckOK},
		{"inverted", churnScore, inverted, churnScore, 300, events.CheckBreached},
		{"the same for everybody", churnScore, half, churnScore, 300, events.CheckBreached},
		{"inverted, imported", nil, inverted, churnScore, 300, events.CheckBreached},
		{"sound, imported", nil, churnScore, churnScore, 300, events.CheckOK},
		{"one record again and again", churnScore, half, constant, 500, events.CheckInsufficient},
		{"too few", churnScore, inverted, churnScore, 299, events.CheckInsufficient},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(seed, 3))
				s := Sides{OtherVersion: 1}
				if c.reference != nil {
					s.Reference = referenceOf(t, r, c.reference)
				}
				s.Watched = traffic{n: c.n, score: c.watched, baseline: s.Reference}.counts(r)
				s.Other = traffic{n: 5000, score: c.other}.counts(r)
				got := stateOf(t, Judge(WatchOf(defaults()), s, false), CheckScores)
				require.Equal(t, c.want, got.State, "seed %d: %+v", seed, got)
			}
		})
	}
}

// Sixty customers whom each of five instances answers are sixty draws, not three hundred: a sound version would often be taken back for their likes.
func TestAFewCustomersOnManyInstancesBreakNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	w := WatchOf(defaults())
	times := func(c Counts, n uint64) Counts {
		for i := range c.Scores {
			c.Scores[i] *= n
		}
		for i := range c.Reference {
			c.Reference[i] *= n
		}
		return c
	}
	apart, breaches := 0, 0
	for range 200 {
		ref := referenceOf(t, r, churnScore)
		few := times(traffic{n: 60, score: churnScore, baseline: ref}.counts(r), 5)
		many := times(traffic{n: 1140, score: churnScore}.counts(r), 5)
		sides := Sides{Watched: few, Other: many, OtherVersion: 1, Reference: ref}
		if stateOf(t, Judge(w, sides, false), CheckScores).State == events.CheckBreached {
			apart++
		}
		sides.Watched.Entities, sides.Other.Entities = entities(60), entities(1140)
		c := stateOf(t, Judge(w, sides, false), CheckScores)
		require.Equal(t, events.CheckInsufficient, c.State)
		require.InDelta(t, 60, c.N, 6)
		w := w
		w.MinRows = 30 // the bound of chance alone
		if stateOf(t, Judge(w, sides, false), CheckScores).State == events.CheckBreached {
			breaches++
		}
	}
	require.Greater(t, apart, 10, "what would be, if nobody told who they are")
	require.Less(t, breaches, 4)
}

func TestJudgeLabels(t *testing.T) {
	good := Labels{TP: 80, FP: 40, FN: 20, TN: 360} // F1 0.727
	for _, c := range []struct {
		name       string
		own, other Labels
		want       events.CheckState
	}{
		{"alike", good, good, events.CheckOK},
		{"better", good, Labels{TP: 40, FP: 60, FN: 60, TN: 340}, events.CheckOK},
		{"finds nobody", Labels{FN: 100, TN: 400}, good, events.CheckBreached},
		{"a little worse", Labels{TP: 75, FP: 45, FN: 25, TN: 355}, good, events.CheckOK},
		{"worse by 0.2", Labels{TP: 50, FP: 50, FN: 50, TN: 350}, good, events.CheckBreached},
		{"worse by 0.12, within three standard errors", Labels{TP: 60, FP: 40, FN: 40, TN: 360}, good, events.CheckOK},
		{"too few rows", Labels{FN: 99, TN: 200}, good, events.CheckInsufficient},
		{"too few positives", Labels{FN: 29, TN: 471}, good, events.CheckInsufficient},
		{"the other has too few", Labels{FN: 100, TN: 400}, Labels{TP: 100}, events.CheckInsufficient},
		{"no labels", Labels{}, Labels{}, events.CheckInsufficient},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := stateOf(t, Judge(WatchOf(defaults()), Sides{WatchedLabels: c.own, OtherLabels: c.other, OtherVersion: 1}, false), CheckF1)
			require.Equal(t, c.want, got.State, got)
		})
	}
}

func TestALimitOfZeroIsOff(t *testing.T) {
	require.Empty(t, Judge(events.RolloutWatch{}, Sides{Watched: Counts{Requests: 100, Errors: 100}}, true))
}

// TestChanceRarelyBreaks draws two versions that are alike many times, looks at every hundredth record as a watch does, and allows one false alarm
// in fifty.
func TestChanceRarelyBreaks(t *testing.T) {
	alarms := 0
	const trials = 50
	for seed := range uint64(trials) {
		r := rand.New(rand.NewPCG(seed, 4))
		ref := referenceOf(t, r, churnScore)
		other := traffic{n: 1500, errors: 12, latency: fast, score: churnScore}.counts(r)
		var own Counts
		for range 20 {
			own.Add(traffic{n: 50, errors: min(1, r.IntN(3)/2), latency: fast, score: churnScore, baseline: ref}.counts(r))
			if _, yes := Breached(Judge(WatchOf(defaults()), Sides{Watched: own, Other: other, OtherVersion: 1, Reference: ref}, false)); yes {
				alarms++
				break
			}
		}
	}
	require.LessOrEqual(t, alarms, trials/50)
}
