package drift

import (
	"sort"
	"time"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/model/spec"
)

// predictionIndex finds predictions of one model by their id and by their entity. It keeps hashes and positions, not records: who finds one reads
// it from the stream and compares. At most size predictions are kept, the newest. It is not safe for concurrent use.
type predictionIndex struct {
	size     int
	byID     map[uint64]uint64   // hash of the prediction id to the first sequence that has it
	byEntity map[uint64][]moment // hash of the entity id to its predictions by time, then sequence
	order    []indexed           // in stream order, for what has to go
	head     int
}

// moment is one prediction of an entity.
type moment struct {
	at       int64 // Unix nanoseconds
	sequence uint64
}

type indexed struct{ id, entity, sequence uint64 }

func newPredictionIndex(size int) *predictionIndex {
	return &predictionIndex{size: size, byID: map[uint64]uint64{}, byEntity: map[uint64][]moment{}}
}

// add takes a prediction. The same id at a later position is the same prediction stored twice, and passed over.
func (x *predictionIndex) add(id, entity string, at time.Time, sequence uint64) {
	h := indexed{id: xxhash.Sum64String(id), sequence: sequence}
	if _, twice := x.byID[h.id]; twice {
		return
	}
	x.byID[h.id] = sequence
	if entity != "" {
		h.entity = xxhash.Sum64String(entity)
		x.byEntity[h.entity] = insert(x.byEntity[h.entity], moment{at.UnixNano(), sequence})
	}
	x.order = append(x.order, h)
	for len(x.order)-x.head > x.size {
		x.drop(x.order[x.head])
		x.head++
	}
	if x.head > len(x.order)/2 && x.head >= 1024 {
		x.order = x.order[:copy(x.order, x.order[x.head:])]
		x.head = 0
	}
}

// insert keeps moments sorted; they nearly come so.
func insert(ms []moment, m moment) []moment {
	ms = append(ms, m)
	for i := len(ms) - 1; i > 0 && m.at < ms[i-1].at; i-- {
		ms[i-1], ms[i] = ms[i], ms[i-1]
	}
	return ms
}

func (x *predictionIndex) drop(h indexed) {
	delete(x.byID, h.id)
	ms := x.byEntity[h.entity]
	for i, m := range ms {
		if m.sequence == h.sequence {
			ms = append(ms[:i], ms[i+1:]...)
			break
		}
	}
	if len(ms) == 0 {
		delete(x.byEntity, h.entity)
	} else {
		x.byEntity[h.entity] = ms
	}
}

// prediction returns the position of a prediction.
func (x *predictionIndex) prediction(id string) (uint64, bool) {
	seq, ok := x.byID[xxhash.Sum64String(id)]
	return seq, ok
}

// newest returns the position of an entity's newest prediction.
func (x *predictionIndex) newest(entity string) (uint64, bool) {
	ms := x.byEntity[xxhash.Sum64String(entity)]
	if len(ms) == 0 {
		return 0, false
	}
	return ms[len(ms)-1].sequence, true
}

// match returns the prediction of an entity that an outcome observed at a time belongs to: the latest one made at or before observed - horizon and,
// where slack is not 0, after observed - horizon - slack.
func (x *predictionIndex) match(entity string, observed time.Time, l spec.Labels) (uint64, bool) {
	ms := x.byEntity[xxhash.Sum64String(entity)]
	latest := observed.Add(-l.Horizon)
	limit := latest.UnixNano()
	i := sort.Search(len(ms), func(i int) bool { return ms[i].at > limit }) - 1
	if i < 0 || l.Slack > 0 && ms[i].at <= latest.Add(-l.Slack).UnixNano() {
		return 0, false
	}
	return ms[i].sequence, true
}
