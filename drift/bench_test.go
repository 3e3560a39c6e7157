package drift

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// BenchmarkWindow is the cost of one prediction in a full window of the Telco monitors, an evaluation at every 250th included.
func BenchmarkWindow(b *testing.B) {
	sp := spec.Telco()
	bundle := modeltest.Bundle(b, modeltest.Options{Spec: sp, Rows: 2000})
	rs := records(b, sp, 1000, 3, 1)
	w := NewWindow(NewReference(bundle, 1, 1))
	at := time.Unix(1_700_000_000, 0)
	var last *events.DriftEvaluated
	b.ReportAllocs()
	for i := range b.N {
		if err := w.Add(Row{Sequence: uint64(i + 1), At: at, Version: 1, Score: float64(i%1000) / 1000, Record: rs[i%len(rs)]}); err != nil {
			b.Fatal(err)
		}
		if i%250 == 249 {
			last, _ = w.Evaluate(last, Position{Evaluation: uint64(i/250 + 1), Ordinal: uint64(i + 1)})
		}
	}
}

// BenchmarkFollow is a service that reads b.N stored predictions from a cold start: windows, evaluations and index.
func BenchmarkFollow(b *testing.B) {
	w := newWorld(b)
	p1, bundle := w.promote(1, modeltest.Options{Rows: 2000})
	w.many(bundle, p1, b.N)
	b.ResetTimer()
	s, stop := w.start()
	for !s.cfg.Health.Ready() {
		<-time.After(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "predictions/s")
	stop()
}

// BenchmarkJoin is a service that joins b.N stored labels.
func BenchmarkJoin(b *testing.B) {
	w := newWorld(b)
	p1, bundle := w.promote(1, modeltest.Options{Rows: 2000})
	ps := w.many(bundle, p1, b.N)
	labels := make([]*events.LabelObserved, len(ps))
	for i, p := range ps {
		labels[i] = &events.LabelObserved{PredictionID: p.PredictionID, Outcome: "Yes"}
	}
	w.label(bundle.Manifest.Model, labels...)
	b.ResetTimer()
	s, stop := w.start()
	for {
		if st := s.status.status(); len(st.Models) == 1 && st.Models[0].Labels[labelJoined] == uint64(b.N) {
			break
		}
		<-time.After(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "labels/s")
	stop()
}

// many publishes n predictions.
func (w *world) many(bundle *model.Bundle, promotion uint64, n int) []*events.PredictionMade {
	w.t.Helper()
	rs := records(w.t, bundle.Spec, 1000, 3, 1)
	scorer, row := bundle.NewScorer(), bundle.Schema.NewRow()
	out := make([]*events.PredictionMade, n)
	for i := range out {
		r := rs[i%len(rs)]
		out[i] = w.prediction(r, 1, promotion, score(w.t, bundle, scorer, row, r))
	}
	w.predict(bundle.Manifest.Model, out...)
	return out
}

// BenchmarkIndex states the memory of one prediction in the index.
func BenchmarkIndex(b *testing.B) {
	x := newPredictionIndex(DefaultIndexSize)
	at := time.Unix(1_700_000_000, 0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	for i := range b.N {
		x.add(fmt.Sprint("p", i), fmt.Sprint("c", i%7043), at, uint64(i+1))
	}
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/prediction")
	runtime.KeepAlive(x)
}
