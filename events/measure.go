package events

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// Arm says by which way a request came to the version that answered it.
type Arm string

const (
	ArmProduction Arm = "production"     // Production's share; in a prediction.made left out
	ArmCanary     Arm = "canary"         // the split chose the candidate
	ArmDirect     Arm = "direct_version" // the caller named the version
)

// ScoreBins is the number of equal bins of [0, 1] in which scores are counted; a score on an edge counts in the upper one, 1 in the last.
const ScoreBins = 20

// ScoreBin returns the bin of a score in [0, 1]; what is outside counts in the first or last, NaN in the first.
func ScoreBin(score float64) int {
	if !(score > 0) {
		return 0
	}
	return int(min(score*ScoreBins, ScoreBins-1))
}

// EntityWords is the number of words whose bits tell entities apart in [VersionMeasurement], up to some ten thousand of them.
const EntityWords = 32

// EntityBit returns the word and the bit in it that an entity sets, by the xxhash64 of its id, of which it takes the highest 11 bits.
func EntityBit(hash uint64) (word int, bit uint64) { return int(hash >> 59), 1 << (hash >> 53 & 63) }

// latencyBounds is only read.
var latencyBounds = func() []time.Duration {
	var bounds []time.Duration
	for i := 0; ; i++ {
		b := time.Duration(math.Round(float64(10*time.Microsecond) * math.Pow(2, float64(i)/2)))
		if b > time.Minute {
			return bounds
		}
		bounds = append(bounds, b)
	}
}()

// LatencyBuckets is the number of buckets that latencies are counted in: one per bound of [LatencyBounds], and one for what is above the last.
const LatencyBuckets = 47

// LatencyBounds returns the upper bounds, inclusive, of the buckets that latencies are counted in: 10 µs times each power of the square root of two up to
// a minute. The slice is the caller's own.
func LatencyBounds() []time.Duration { return append([]time.Duration(nil), latencyBounds...) }

// LatencyBucket returns the index of the bucket that counts took: the first whose bound is not below it, or the last of all.
func LatencyBucket(took time.Duration) int {
	return sort.Search(len(latencyBounds), func(i int) bool { return latencyBounds[i] >= took })
}

// LatencyQuantile returns the q-quantile, q in [0, 1], of latencies counted in buckets, interpolated between the bounds of the bucket it falls in by
// their ratio; what is above the last bound counts as the last bound. It returns false where nothing was counted or there are more buckets than
// LatencyBuckets.
func LatencyQuantile(buckets []uint64, q float64) (time.Duration, bool) {
	var total float64
	for _, n := range buckets {
		total += float64(n)
	}
	if total == 0 || len(buckets) > LatencyBuckets || !(q >= 0 && q <= 1) {
		return 0, false
	}
	rank, below := q*total, 0.0
	for i, n := range buckets {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		if i >= len(latencyBounds) {
			break
		}
		upper := float64(latencyBounds[i])
		lower := upper / math.Sqrt2
		if i > 0 {
			lower = float64(latencyBounds[i-1])
		}
		return time.Duration(lower * math.Pow(upper/lower, (rank-below)/float64(n))), true
	}
	return latencyBounds[len(latencyBounds)-1], true
}

// VersionMeasurement is what an instance counted of one version since its boot, under one key of version, promotion, revision and arm. All counts
// grow within a boot, so that the last message of a boot holds all before it.
type VersionMeasurement struct {
	Version           int    `json:"version"`
	Digest            string `json:"digest"`
	PromotionSequence uint64 `json:"promotion_sequence"`
	// Revision is that of the split in force while these were counted, 0 for none.
	Revision int `json:"revision"`
	Arm      Arm `json:"arm"`
	// Requests were answered or failed, Records are the rows in them, Errors the requests that failed (5xx, a deadline missed in scoring, a panic),
	// Fallbacks the requests that Production answered because the candidate could not.
	Requests  uint64 `json:"requests"`
	Records   uint64 `json:"records"`
	Errors    uint64 `json:"errors"`
	Fallbacks uint64 `json:"fallbacks"`
	// LatencyBuckets counts requests by the time they took in the server, those with a list by the mean time of a record: one count per bound of
	// [LatencyBounds] and one above. Absent: none counted.
	LatencyBuckets []uint64 `json:"latency_buckets,omitempty"`
	// Scores counts records by score in [ScoreBins] equal bins of [0, 1], those of an entity that was counted of late left out. Absent: none counted.
	Scores []uint64 `json:"scores,omitempty"`
	// ReferenceBins counts them in the bins of the bundle's own score baseline; absent where it has none.
	ReferenceBins []uint64 `json:"reference_bins,omitempty"`
	// Entities has a bit, by [EntityBit], for the entity of each of these scores, any for a record without one: how many entities they are of, over all
	// instances, can be told from it. Absent: not told.
	Entities []uint64  `json:"entities,omitempty"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
}

// ServingMeasured is what an instance counted since its boot, by version. Published by inference while something is being watched; read by the
// registry, which decides by it whether a rollout goes on.
type ServingMeasured struct {
	Serving
	Versions []VersionMeasurement `json:"versions"`
}

// ShadowEvaluated is how a candidate would have answered, counted since its shadow began, and at the same time the checkpoint from which the shadow
// goes on. Published by the shadow worker as a compare-and-set on its subject, so that several workers count nothing twice.
type ShadowEvaluated struct {
	// Revision is that of the rollout.changed that began the shadow, Version its candidate, Production the version that answered.
	Revision   int `json:"revision"`
	Version    int `json:"version"`
	Production int `json:"production"`
	// PredictionsFrom is where the shadow began in PREDICTIONS: labels of earlier predictions, which the candidate may have been trained on, do not count.
	PredictionsFrom uint64 `json:"predictions_from"`
	// PredictionsSequence and TrainingSequence are the last messages of these streams that were taken account of.
	PredictionsSequence uint64 `json:"predictions_sequence"`
	TrainingSequence    uint64 `json:"training_sequence"`
	// Rows were scored; Skipped were not, by reason.
	Rows    uint64            `json:"rows"`
	Skipped map[string]uint64 `json:"skipped,omitempty"`
	// Flips are rows with another label. The differences are of the score, absolute; SumAbsDiff lets the mean be carried on.
	Flips       uint64  `json:"flips"`
	MeanAbsDiff float64 `json:"mean_abs_diff"`
	SumAbsDiff  float64 `json:"sum_abs_diff"`
	MaxAbsDiff  float64 `json:"max_abs_diff"`
	// PSI is that of Scores against ProductionScores, both counted in [ScoreBins] equal bins.
	PSI              float64  `json:"psi"`
	Scores           []uint64 `json:"scores,omitempty"`
	ProductionScores []uint64 `json:"production_scores,omitempty"`
	// Labelled rows have a known outcome. F1 of both is over these, absent while there is none to speak of.
	Labelled            uint64     `json:"labelled"`
	F1                  *float64   `json:"f1,omitempty"`
	F1Production        *float64   `json:"f1_production,omitempty"`
	Confusion           *Confusion `json:"confusion,omitempty"`
	ProductionConfusion *Confusion `json:"production_confusion,omitempty"`
	// Final is true in the last one of a shadow; Reason says why it ended.
	Final  bool   `json:"final,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Confusion counts labelled rows by what was said and what was so.
type Confusion struct {
	TruePositive  uint64 `json:"true_positive"`
	FalsePositive uint64 `json:"false_positive"`
	TrueNegative  uint64 `json:"true_negative"`
	FalseNegative uint64 `json:"false_negative"`
}

// EventType implements [Payload].
func (*ServingMeasured) EventType() Type { return TypeServingMeasured }

// EventType implements [Payload].
func (*ShadowEvaluated) EventType() Type { return TypeShadowEvaluated }

// Validate implements [Payload].
func (p *ServingMeasured) Validate() error {
	c := p.check(0)
	for i := range p.Versions {
		v, at := &p.Versions[i], fmt.Sprintf("versions[%d]", i)
		c.version(at+".version", v.Version, 1)
		c.digest(at+".digest", v.Digest)
		c.version(at+".revision", v.Revision, 0)
		switch v.Arm {
		case ArmProduction, ArmCanary, ArmDirect:
		default:
			c.that(false, "%s.arm %q is unknown", at, v.Arm)
		}
		c.counts(at+".latency_buckets", v.LatencyBuckets, LatencyBuckets)
		c.counts(at+".scores", v.Scores, ScoreBins)
		c.counts(at+".entities", v.Entities, EntityWords)
	}
	return c.err
}

// otherArm checks the arm of a prediction, which Production as such leaves out.
func (c *check) otherArm(a Arm) {
	c.that(a == "" || a == ArmCanary || a == ArmDirect, "arm %q is unknown", a)
}

// counts checks the length of a histogram; an absent one is none.
func (c *check) counts(field string, counts []uint64, want int) {
	c.that(len(counts) == 0 || len(counts) == want, "%s must have %d counts, has %d", field, want, len(counts))
}

// Validate implements [Payload].
func (p *ShadowEvaluated) Validate() error {
	var c check
	c.version("revision", p.Revision, 1)
	c.version("version", p.Version, 1)
	c.version("production", p.Production, 1)
	c.share("mean_abs_diff", p.MeanAbsDiff)
	c.least("sum_abs_diff", p.SumAbsDiff)
	c.share("max_abs_diff", p.MaxAbsDiff)
	c.least("psi", p.PSI)
	c.counts("scores", p.Scores, ScoreBins)
	c.counts("production_scores", p.ProductionScores, ScoreBins)
	if p.F1 != nil {
		c.share("f1", *p.F1)
	}
	if p.F1Production != nil {
		c.share("f1_production", *p.F1Production)
	}
	return c.err
}
