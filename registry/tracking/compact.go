package tracking

import (
	"cmp"
	"slices"
	"strings"

	"telco-churn-mlops/events"
)

// pair is a parameter or tag.
type pair struct {
	key   uint32
	value string
}

// metric is the point of a key that is shown.
type metric struct {
	key   uint32
	value float64
	time  int64
	step  int64
	extra *metricExtra // nil for most
}

type metricExtra struct{ modelID, datasetName, datasetDigest string }

// findPair returns where a key stands, or would stand, in pairs that are ordered by key number.
func findPair(ps []pair, key uint32) (int, bool) {
	return slices.BinarySearchFunc(ps, key, func(p pair, k uint32) int { return cmp.Compare(p.key, k) })
}

func findMetric(ms []metric, key uint32) (int, bool) {
	return slices.BinarySearchFunc(ms, key, func(m metric, k uint32) int { return cmp.Compare(m.key, k) })
}

// setPair returns ps with a value replaced or added.
func setPair(ps []pair, p pair) []pair {
	i, ok := findPair(ps, p.key)
	if ok {
		ps[i] = p
		return ps
	}
	return slices.Insert(ps, i, p)
}

func removePair(ps []pair, key uint32) []pair {
	if i, ok := findPair(ps, key); ok {
		return slices.Delete(ps, i, i+1)
	}
	return ps
}

// later reports whether the point is shown in place of the other: it has the greater (step, timestamp, value), where NaN is the least value.
func (m metric) later(than metric) bool {
	return cmp.Or(cmp.Compare(m.step, than.step), cmp.Compare(m.time, than.time), cmp.Compare(m.value, than.value)) > 0
}

// setMetric returns ms with the point, unless a later one is there.
func setMetric(ms []metric, m metric) []metric {
	i, ok := findMetric(ms, m.key)
	if !ok {
		return slices.Insert(ms, i, m)
	}
	if m.later(ms[i]) {
		ms[i] = m
	}
	return ms
}

// grow makes room for n more, so that a run's first batch takes one allocation of its own size.
func grow[T any](s []T, n int) []T {
	if s == nil && n > 0 {
		return make([]T, 0, n)
	}
	return s
}

// compact turns what a client logged into a metric.
func (n *interner) compact(p events.MetricPoint) metric {
	m := metric{key: n.key(p.Key), value: float64(p.Value), time: p.Timestamp, step: p.Step}
	if p.ModelID != "" || p.DatasetName != "" || p.DatasetDigest != "" {
		m.extra = &metricExtra{n.value(p.ModelID), n.value(p.DatasetName), n.value(p.DatasetDigest)}
	}
	return m
}

// point turns a metric back.
func (n *interner) point(m metric) events.MetricPoint {
	p := events.MetricPoint{Key: n.keys[m.key], Value: events.Number(m.value), Timestamp: m.time, Step: m.step}
	if m.extra != nil {
		p.ModelID, p.DatasetName, p.DatasetDigest = m.extra.modelID, m.extra.datasetName, m.extra.datasetDigest
	}
	return p
}

// pairs turns pairs back, ordered by key.
func (n *interner) pairs(lists ...[]pair) []events.Pair {
	var out []events.Pair
	for _, ps := range lists {
		for _, p := range ps {
			out = append(out, events.Pair{Key: n.keys[p.key], Value: p.value})
		}
	}
	slices.SortFunc(out, func(a, b events.Pair) int { return strings.Compare(a.Key, b.Key) })
	return out
}
