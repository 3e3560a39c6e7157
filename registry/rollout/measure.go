package rollout

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"telco-churn-mlops/events"
)

// maxKeys bounds the keys that are kept of a model; those of which nothing was heard for longest are forgotten first.
const maxKeys = 128

// recentRecords is how many records make the last window of a version that answered for long, with recentScores among them, or recentMost if the
// same customers come again and again: an instance holds between so many and twice as many, or all there are.
const (
	recentRecords = 5_000
	recentScores  = 1_000
	recentMost    = 100_000
)

// enough reports whether counts make a window.
func enough(c Counts) bool {
	scores := uint64(0)
	for _, n := range c.Scores {
		scores = add(scores, n)
	}
	return c.Records >= recentRecords && (scores >= recentScores || c.Records >= recentMost)
}

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
		if enough(s.last.since(s.mid)) {
			s.base, s.mid = s.mid, s.last
		}
	}
	m.forget()
}

func (m *Measurements) forget() {
	for len(m.keys) > maxKeys {
		delete(m.keys, slices.MinFunc(m.ordered(), func(a, b Key) int { return m.until(a).Compare(m.until(b)) }))
	}
}

// until returns when something was last counted under a key.
func (m *Measurements) until(k Key) (last time.Time) {
	for _, s := range m.keys[k] {
		if s.last.To.After(last) {
			last = s.last.To
		}
	}
	return last
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
	var total Counts
	var names []string
	for s := range m.series(match) {
		total.Add(s.last)
		names = append(names, s.instance)
	}
	slices.Sort(names)
	return total, slices.Compact(names)
}

// Recent returns what each instance counted last, over its lives and the keys that match: between 5,000 and 10,000 records, more where there are few
// scores among them, or all where there are fewer.
func (m *Measurements) Recent(match func(Key) bool) Counts {
	by := map[string]Counts{}
	for _, k := range slices.SortedFunc(m.series(match), func(a, b counted) int {
		return cmp.Or(b.last.To.Compare(a.last.To), cmp.Compare(b.boot, a.boot))
	}) {
		of := by[k.instance]
		if !enough(of) {
			of.Add(k.last.since(k.base))
			by[k.instance] = of
		}
	}
	var total Counts
	for _, c := range by {
		total.Add(c)
	}
	return total
}

// counted is a series with what counted it.
type counted struct {
	source
	*series
}

// series returns those of the keys that match, in the order of the keys.
func (m *Measurements) series(match func(Key) bool) iter.Seq[counted] {
	return func(yield func(counted) bool) {
		for _, k := range m.ordered() {
			if !match(k) {
				continue
			}
			for from, s := range m.keys[k] {
				if !yield(counted{from, s}) {
					return
				}
			}
		}
	}
}
