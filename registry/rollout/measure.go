package rollout

import (
	"cmp"
	"slices"

	"telco-churn-mlops/events"
)

// maxKeys bounds the keys that are kept of a model; the oldest promotions are forgotten first.
const maxKeys = 128

// recentRecords is how many records make the last window of a version that answered for long: a window holds between so many and twice as many,
// or all there are.
const recentRecords = 5000

// Key says what was counted apart: a version that answered under a promotion and a split.
type Key struct {
	Version   int
	Digest    string
	Promotion uint64
	Revision  int
	Arm       events.Arm
}

// source is one life of an instance.
type source struct{ instance, boot string }

// series is what one source counted under one key: now, and at two moments before.
type series struct {
	last, mid, base Counts
}

// Measurements is the fold of one model's serving.measured. The zero value is ready. It is not safe for concurrent use.
type Measurements struct {
	keys    map[Key]map[source]*series
	through uint64
}

// Through returns the greatest sequence of FLEET that was folded.
func (m *Measurements) Through() uint64 { return m.through }

// Apply folds one message, which stands at a sequence of FLEET. Messages may come twice and in any order. Calls that named their version are left
// out: those who make them chose it, whatever is promoted.
func (m *Measurements) Apply(sequence uint64, p *events.ServingMeasured) {
	m.through = max(m.through, sequence)
	if m.keys == nil {
		m.keys = map[Key]map[source]*series{}
	}
	from := source{p.Instance, p.Boot}
	for i := range p.Versions {
		v := &p.Versions[i]
		if v.Arm == events.ArmDirect {
			continue
		}
		key := Key{v.Version, v.Digest, v.PromotionSequence, v.Revision, v.Arm}
		if m.keys[key] == nil {
			m.keys[key] = map[source]*series{}
		}
		s := m.keys[key][from]
		if s == nil {
			s = &series{}
			m.keys[key][from] = s
		}
		s.last.raise(countsOf(v))
		if less(s.last.Records, s.mid.Records) >= recentRecords {
			s.base, s.mid = s.mid, s.last
		}
	}
	m.forget()
}

func (m *Measurements) forget() {
	for len(m.keys) > maxKeys {
		delete(m.keys, slices.MinFunc(m.ordered(), func(a, b Key) int {
			return cmp.Or(cmp.Compare(a.Promotion, b.Promotion), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Version, b.Version))
		}))
	}
}

// ordered returns the keys in an order of their own, so that what is decided does not depend on that of a map.
func (m *Measurements) ordered() []Key {
	out := make([]Key, 0, len(m.keys))
	for k := range m.keys {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Promotion, b.Promotion), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Arm, b.Arm), cmp.Compare(a.Digest, b.Digest))
	})
	return out
}

// Sum returns what all instances counted under the keys that match, and who they are, by name.
func (m *Measurements) Sum(match func(Key) bool) (Counts, []string) {
	return m.sum(match, func(s *series) Counts { return s.last })
}

// Recent is [Measurements.Sum] of the last records alone: of each source between 5,000 and 10,000, or all where there are fewer.
func (m *Measurements) Recent(match func(Key) bool) (Counts, []string) {
	return m.sum(match, func(s *series) Counts { return s.last.since(s.base) })
}

func (m *Measurements) sum(match func(Key) bool, of func(*series) Counts) (Counts, []string) {
	var total Counts
	var names []string
	for _, k := range m.ordered() {
		if !match(k) {
			continue
		}
		for from, s := range m.keys[k] {
			total.Add(of(s))
			names = append(names, from.instance)
		}
	}
	slices.Sort(names)
	return total, slices.Compact(names)
}
