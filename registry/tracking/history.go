package tracking

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
)

// MaxHistory is the largest page of a metric's history.
const MaxHistory = 25000

// MetricHistory returns all points of a metric, ordered by timestamp, step and value; none for a key that was never logged. It reads them from the stream.
func (b *Book) MetricHistory(ctx context.Context, id, key string) ([]events.MetricPoint, error) {
	all, err := b.Histories(ctx, id, []string{key})
	return all[key], err
}

// Histories is MetricHistory for several keys, read at once. A key that was never logged is not in the answer.
func (b *Book) Histories(ctx context.Context, id string, keys []string) (map[string][]events.MetricPoint, error) {
	if err := b.Fresh(ctx); err != nil {
		return nil, err
	}
	all, first, err := b.wanted(id, keys)
	if err != nil || first == 0 || len(all) == 0 {
		return all, err
	}
	subject, err := events.SubjectOf(events.TypeRunTracked, id)
	if err != nil {
		return nil, fault.New(fault.Internal, "subject of run %s: %w", id, err)
	}
	created := false
	err = b.bus.Read(ctx, bus.ReadConfig{Stream: events.Tracking, Filters: []string{subject}, From: first}, func(m bus.Message) error {
		p, ok := m.Event.Payload.(*events.RunTracked)
		if !ok || m.Err != nil || p.RunID != id || (p.Created != nil) == created { // what the fold leaves out as well
			return nil
		}
		created = true
		for _, point := range p.Metrics {
			if points, ok := all[point.Key]; ok {
				all[point.Key] = append(points, point)
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap("read history of run "+id, err)
	}
	for key, points := range all {
		slices.SortFunc(points, comparePoints)
		all[key] = slices.CompactFunc(points, func(a, b events.MetricPoint) bool { return comparePoints(a, b) == 0 })
	}
	return all, nil
}

// wanted returns the keys that a run has, and the sequence from which its points are to be read; of a run of the trainer, whose metrics have one point
// each, the points and 0.
func (b *Book) wanted(id string, keys []string) (map[string][]events.MetricPoint, uint64, error) {
	s := b.state
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, err := s.knownRun(id)
	if err != nil {
		return nil, 0, err
	}
	metrics, first := r.metrics, r.first
	if r.trainers() {
		metrics, first = r.trainer.metrics, 0
	}
	all := map[string][]events.MetricPoint{}
	for _, key := range keys {
		n, ok := s.names.find(key)
		if !ok {
			continue
		}
		if i, ok := findMetric(metrics, n); ok {
			all[key] = nil
			if first == 0 {
				all[key] = []events.MetricPoint{s.names.point(metrics[i])}
			}
		}
	}
	return all, first, nil
}

// comparePoints orders points of one key; NaN is the least value. Points that are equal are the same point, logged again.
func comparePoints(a, b events.MetricPoint) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.Step, b.Step), cmp.Compare(float64(a.Value), float64(b.Value)))
}

// MetricHistoryPage returns a page of a metric's history. maxResults is at most MaxHistory; 0 returns all of it.
func (b *Book) MetricHistoryPage(ctx context.Context, id, key string, maxResults int, token string) (Page[events.MetricPoint], error) {
	if maxResults < 0 || maxResults > MaxHistory {
		return Page[events.MetricPoint]{}, invalid("max_results is %d, must be between 1 and %d", maxResults, MaxHistory)
	}
	after, err := decodePoint(id, key, token)
	if err != nil {
		return Page[events.MetricPoint]{}, err
	}
	points, err := b.MetricHistory(ctx, id, key)
	if err != nil {
		return Page[events.MetricPoint]{}, err
	}
	if after != nil {
		i, found := slices.BinarySearchFunc(points, *after, comparePoints)
		if found {
			i++
		}
		points = points[i:]
	}
	if maxResults == 0 || len(points) <= maxResults {
		return Page[events.MetricPoint]{Items: points}, nil
	}
	return Page[events.MetricPoint]{Items: points[:maxResults], Next: encodePoint(id, key, points[maxResults-1])}, nil
}

// encodePoint returns the token of the page that follows a point.
func encodePoint(id, key string, p events.MetricPoint) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(p.Timestamp))
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.Step))
	raw = binary.BigEndian.AppendUint64(raw, math.Float64bits(float64(p.Value)))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(raw, historySum(id, key, raw)))
}

func historySum(id, key string, raw []byte) uint64 {
	return xxhash.Sum64String(id + "/" + key + "/" + string(raw))
}

// decodePoint returns the point that a token of this history holds, nil for an empty token.
func decodePoint(id, key, token string) (*events.MetricPoint, error) {
	if token == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 32 || historySum(id, key, raw[:24]) != binary.BigEndian.Uint64(raw[24:]) {
		return nil, invalid("page_token is not one that was given out for this history")
	}
	return &events.MetricPoint{Key: key, Timestamp: int64(binary.BigEndian.Uint64(raw)), Step: int64(binary.BigEndian.Uint64(raw[8:])),
		Value: events.Number(math.Float64frombits(binary.BigEndian.Uint64(raw[16:])))}, nil
}
