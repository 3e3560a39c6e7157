package inference

import (
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/baseline"
)

// meter counts what one predictor answered on one arm under one revision of the split: requests with their latency, records with their score,
// and what failed. It is cumulative and never reset. Counting is atomic, takes a few nanoseconds and allocates nothing; it is spread over lanes
// so that many processors do not wait for one another. Safe for concurrent use. A nil meter counts nothing.
//
// A request is counted once per version that took part in it, either by request or by error or fallback. What is wrong with the request itself
// (422, 413) is not the version's and not counted.
type meter struct {
	key       meterKey
	reference *baseline.Reference // of the bundle's own scores; nil for none
	edges     [edgeCells + 1]int  // of the reference: how many lie below each of so many equal parts of [0, 1]
	from      time.Time
	ended     time.Time // since when nothing that is served counts in it; the book's

	lanes  uint32 // a power of two
	stride int
	cells  []atomic.Uint64 // lanes times stride

	entities [entityWords]atomic.Uint64        // a bit for each that was scored of late
	told     [events.EntityWords]atomic.Uint64 // and for each that ever was, as it is published
}

// meterKey says what a meter counts.
type meterKey struct {
	version   int
	digest    string
	promotion uint64
	revision  int
	arm       arm
}

// The cells of a lane: these three, then the scores, the latencies (one more than there are bounds) and the reference's bins.
const (
	cellRecords = iota
	cellErrors
	cellFallbacks
	cellScores
	cellLatency = cellScores + events.ScoreBins
)

// edgeCells is a power of two, so that its parts begin at exact numbers.
const edgeCells = 64

// A meter has so many words of bits for entities, and remembers them for so many records on average.
const (
	entityWords  = 1024
	entityMemory = 1 << 14
)

// lanePadding keeps two lanes from sharing a cache line, in cells.
const lanePadding = 16

func newMeter(key meterKey, b *model.Bundle, from time.Time) *meter {
	m := &meter{key: key, from: from, lanes: 1}
	for m.lanes < 16 && int(m.lanes) < runtime.GOMAXPROCS(0) {
		m.lanes *= 2
	}
	m.stride = cellLatency + len(latencyBounds) + 1 + lanePadding
	if b != nil && b.HasBaselines() {
		m.reference = &b.Baselines.Reference.Score
		m.stride += m.reference.Bins()
		for i := range m.edges {
			m.edges[i] = m.reference.BinNumeric(float64(i) / edgeCells)
		}
	}
	m.cells = make([]atomic.Uint64, int(m.lanes)*m.stride)
	return m
}

// lane returns the cells that this call counts in.
func (m *meter) lane() []atomic.Uint64 {
	base := 0
	if m.lanes > 1 {
		base = int(rand.Uint32()&(m.lanes-1)) * m.stride
	}
	return m.cells[base : base+m.stride]
}

// request counts a request of which the version answered so many records, and how long the answer took: to a list, one of those records on average.
func (m *meter) request(records int, took time.Duration) {
	if m == nil {
		return
	}
	l := m.lane()
	l[cellRecords].Add(uint64(records))
	l[cellLatency+latencyBucket(took)].Add(1)
}

// score counts the probability of one record that was answered, if its entity, "" for none, was not counted of late: those who compare distributions
// take the scores as independent, and one customer who is asked for again and again is one.
func (m *meter) score(p float64, entity string) {
	if m == nil {
		return
	}
	var h uint64
	if entity == "" {
		h = rand.Uint64()
	} else if h = xxhash.Sum64String(entity); m.counted(h) {
		return
	}
	if word, bit := events.EntityBit(h); m.told[word].Load()&bit == 0 {
		m.told[word].Or(bit)
	}
	l := m.lane()
	l[cellScores+events.ScoreBin(p)].Add(1)
	if m.reference != nil {
		l[cellLatency+len(latencyBounds)+1+m.referenceBin(p)].Add(1)
	}
}

// counted notes an entity, by its hash, and reports whether it was noted before, by a bit of its hash, so that of some tens of thousands a few are taken for
// others. All is forgotten after so many calls on average, so that a version that answers for months goes on counting.
func (m *meter) counted(h uint64) bool {
	if rand.Uint32N(entityMemory) == 0 {
		for i := range m.entities {
			m.entities[i].Store(0)
		}
	}
	word, bit := &m.entities[(h>>6)%entityWords], uint64(1)<<(h&63)
	return word.Load()&bit != 0 || word.Or(bit)&bit != 0
}

// referenceBin is the reference's BinNumeric for a probability, without a search: few edges lie in one part.
func (m *meter) referenceBin(p float64) int {
	if !(p >= 0 && p <= 1) {
		return m.reference.BinNumeric(p)
	}
	i := m.edges[int(p*edgeCells)]
	for edges := m.reference.Edges; i < len(edges) && edges[i] < p; {
		i++
	}
	return i
}

// error counts a request that the version should have answered and did not: a 5xx, a panic, a deadline that passed while it scored.
func (m *meter) error() {
	if m == nil {
		return
	}
	m.lane()[cellErrors].Add(1)
}

// fallback counts a request that the candidate should have answered and Production did instead; it is one of the candidate's errors.
func (m *meter) fallback() {
	if m == nil {
		return
	}
	l := m.lane()
	l[cellErrors].Add(1)
	l[cellFallbacks].Add(1)
}

// latencyBounds are the upper bounds of the latency's buckets, each included. It is only read.
var latencyBounds = events.LatencyBounds()

// firstBound is, by the number of bits of a latency in nanoseconds, the first bound that is not below the least such latency.
var firstBound = func() (first [65]uint8) {
	for n := range first {
		least := uint64(0)
		if n > 0 {
			least = 1 << (n - 1)
		}
		for int(first[n]) < len(latencyBounds) && uint64(latencyBounds[first[n]]) < least {
			first[n]++
		}
	}
	return first
}()

// latencyBucket returns the first bucket whose bound is not below took, and one more than there are bounds for what is above all of them.
func latencyBucket(took time.Duration) int {
	ns := uint64(max(took, 0))
	i := int(firstBound[bits.Len64(ns)])
	for i < len(latencyBounds) && uint64(latencyBounds[i]) < ns {
		i++
	}
	return i
}

// measure returns what was counted until the time to, and the sum of all counts. Counts of requests that are being counted now may be in or not.
func (m *meter) measure(to time.Time) (v events.VersionMeasurement, sum uint64) {
	total := make([]uint64, m.stride)
	for i := range m.cells {
		n := m.cells[i].Load()
		total[i%m.stride] += n
		sum += n
	}
	latency := total[cellLatency:][:len(latencyBounds)+1]
	v = events.VersionMeasurement{
		Version: m.key.version, Digest: m.key.digest, PromotionSequence: m.key.promotion, Revision: m.key.revision, Arm: m.key.arm.event(),
		Records: total[cellRecords], Requests: total[cellErrors], Errors: total[cellErrors], Fallbacks: total[cellFallbacks],
		LatencyBuckets: latency, Scores: total[cellScores:][:events.ScoreBins], From: m.from, To: to,
	}
	for _, n := range latency {
		v.Requests += n
	}
	v.Entities = make([]uint64, len(m.told))
	for i := range m.told {
		v.Entities[i] = m.told[i].Load()
	}
	if m.reference != nil {
		v.ReferenceBins = total[cellLatency+len(latency):][:m.reference.Bins()]
	}
	return v, sum
}
