package drift

import (
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// Reference is what a promoted version says about how its traffic should look. It is immutable.
type Reference struct {
	Version   int
	Promotion uint64 // sequence in LIFECYCLE
	Spec      *spec.Spec
	Schema    *dataset.Schema
	// Baseline is nil for a version that was trained elsewhere: nothing says what its data looked like, and its columns are not evaluated.
	Baseline *baseline.Baseline
	// Holdout holds the version's metrics as they were when it was trained, by name.
	Holdout map[string]float64
}

// NewReference returns the reference of a bundle that was promoted as a version at a sequence of LIFECYCLE.
func NewReference(b *model.Bundle, version int, promotion uint64) *Reference {
	ref := &Reference{Version: version, Promotion: promotion, Spec: b.Spec, Schema: b.Schema, Holdout: b.Manifest.Metrics}
	if b.HasBaselines() {
		ref.Baseline = &b.Baselines.Reference
	}
	return ref
}

// Row is one prediction as the window keeps it.
type Row struct {
	Sequence uint64    // in PREDICTIONS
	At       time.Time // the stream's timestamp
	Version  int
	Score    float64
	Record   []byte // kept, not changed
	// Tried is true for an answer that did not come from Production as such: a canary's, or one of a version that the caller named. The record counts
	// like any other, the score does not.
	Tried bool
}

// outside is the bin of a value that is not counted.
const outside = -1

// binned is a row with the bin of each monitor.
type binned struct {
	Row
	bins []int32
}

// monitor is one watched column under the current reference.
type monitor struct {
	column  string
	action  events.Action
	kind    events.DriftKind
	ref     *baseline.Reference // nil where the reference has no such column
	slot    int                 // in dataset.Row's Num or Cat
	counter *baseline.Counter
}

// Window is the last predictions of one model, counted over the bins of a reference: at most spec.Drift.Window rows, none older than
// spec.Drift.MaxAge before the newest one. Adding a row costs the same whatever the size. It is not safe for concurrent use; make it with NewWindow.
type Window struct {
	ref      *Reference
	monitors []monitor
	rows     []binned
	head     int // of rows: what stands before it has left the window
	scratch  *dataset.Row
}

// NewWindow returns an empty window.
func NewWindow(ref *Reference) *Window {
	w := &Window{}
	w.Use(ref)
	return w
}

// Reference returns the reference in use.
func (w *Window) Reference() *Reference { return w.ref }

// Use changes the reference and counts every row anew over its bins. A row whose record does not fit the new reference's schema stays in the
// window and is counted in no column.
func (w *Window) Use(ref *Reference) {
	w.ref, w.scratch, w.monitors = ref, ref.Schema.NewRow(), nil
	for _, m := range ref.Spec.Drift.Monitors {
		w.monitors = append(w.monitors, newMonitor(ref, m))
	}
	for i := range w.rows[w.head:] {
		r := &w.rows[w.head+i]
		_ = w.bin(r) // a record of another version's schema is no fault
		w.count(r)
	}
	w.trim()
}

func newMonitor(ref *Reference, m spec.Monitor) monitor {
	out := monitor{column: m.Column, action: events.ActionReport, kind: events.DriftData, slot: -1}
	if m.Action == spec.ActionRetrain {
		out.action = events.ActionRetrain
	}
	if m.Column == events.ColumnScore {
		out.kind = events.DriftPrediction
	}
	if ref.Baseline == nil {
		return out
	}
	found, ok := ref.Baseline.Column(m.Column)
	if !ok {
		return out
	}
	names := ref.Schema.Numeric()
	if found.Kind == baseline.Categorical {
		names = ref.Schema.Categorical()
	}
	for i, name := range names {
		if name == m.Column {
			out.slot = i
		}
	}
	if out.slot >= 0 || out.kind == events.DriftPrediction {
		out.ref, out.counter = found, found.NewCounter()
	}
	return out
}

// Add takes a row, which must not stand before the newest one, and drops what became too old or too many. It returns a fault if the record
// does not fit the reference's schema; the row is in the window even so, with its score alone.
func (w *Window) Add(r Row) error {
	b := binned{Row: r}
	fault := w.bin(&b)
	w.count(&b)
	w.rows = append(w.rows, b)
	w.trim()
	return fault
}

// bin finds the bin of each monitor.
func (w *Window) bin(r *binned) error {
	r.bins = make([]int32, len(w.monitors))
	_, fault := w.ref.Schema.DecodeJSON(r.Record, w.scratch, dataset.DecodeOptions{})
	for i, m := range w.monitors {
		r.bins[i] = outside
		switch {
		case m.ref == nil:
		case m.kind == events.DriftPrediction:
			if r.Version == w.ref.Version && !r.Tried {
				r.bins[i] = int32(m.ref.BinNumeric(r.Score))
			}
		case fault != nil:
		case m.ref.Kind == baseline.Categorical:
			r.bins[i] = int32(m.ref.BinCategory(w.scratch.Cat[m.slot]))
		default:
			r.bins[i] = int32(m.ref.BinNumeric(w.scratch.Num[m.slot]))
		}
	}
	if fault != nil {
		return fmt.Errorf("decode record: %w", fault)
	}
	return nil
}

func (w *Window) count(r *binned) {
	for i, b := range r.bins {
		if b != outside {
			w.monitors[i].counter.Add(int(b))
		}
	}
}

func (w *Window) trim() {
	d := &w.ref.Spec.Drift
	for n := w.Len(); n > 0; n = w.Len() {
		if n <= d.Window && !w.rows[w.head].At.Before(w.rows[len(w.rows)-1].At.Add(-d.MaxAge)) {
			break
		}
		r := &w.rows[w.head]
		for i, b := range r.bins {
			if b != outside {
				w.monitors[i].counter.Remove(int(b))
			}
		}
		*r = binned{}
		w.head++
	}
	if w.head > len(w.rows)/2 && w.head >= 64 {
		n := copy(w.rows, w.rows[w.head:])
		clear(w.rows[n:])
		w.rows, w.head = w.rows[:n], 0
	}
}

// Len returns the number of rows.
func (w *Window) Len() int { return len(w.rows) - w.head }

// Clear forgets every row.
func (w *Window) Clear() {
	w.rows, w.head = nil, 0
	for i := range w.monitors {
		if m := &w.monitors[i]; m.ref != nil {
			m.counter = m.ref.NewCounter()
		}
	}
}

// Position is where in a model's stream an evaluation stands.
type Position struct {
	Evaluation uint64 // the model's evaluations of this kind, from 1
	Ordinal    uint64 // the messages that are counted, from 1
}

// Evaluate measures each monitored column over the window, which must not be empty, and moves its state on from the last evaluation (nil
// for the first). It returns the evaluation and the alerts and clearings that must be published before it, and changes nothing.
func (w *Window) Evaluate(last *events.DriftEvaluated, at Position) (*events.DriftEvaluated, []events.Payload) {
	first, newest := &w.rows[w.head], &w.rows[len(w.rows)-1]
	e := &events.DriftEvaluated{
		Kind: events.DriftData, Evaluation: at.Evaluation, Version: w.ref.Version, PromotionSequence: w.ref.Promotion, Ordinal: at.Ordinal,
		PredictionsSequence: newest.Sequence, WindowFirst: first.Sequence, Rows: w.Len(), WindowFrom: first.At, WindowTo: newest.At,
		Columns: make([]events.ColumnEvaluation, 0, len(w.monitors)),
	}
	var notices []events.Payload
	d := &w.ref.Spec.Drift
	for i := range w.monitors {
		m := &w.monitors[i]
		c := m.measure(d)
		state, change := stateOf(last, m.column).next(verdict{
			enough: c.N >= d.MinRows && m.ref != nil, over: c.Value > d.Alert && c.Value > c.Bound, under: c.Value < d.Clear,
			version: w.ref.Version, renewed: last != nil && last.Version != w.ref.Version, now: newest.At, sequence: newest.Sequence,
			consecutive: d.Consecutive, repeat: d.Repeat,
		})
		state.store(&c)
		e.Columns = append(e.Columns, c)
		if n := notice(e, c, m.kind, change, d.Clear); n != nil {
			notices = append(notices, n)
		}
	}
	return e, notices
}

// measure computes PSI and its bound. Without a reference or rows, Value is 0.
func (m *monitor) measure(d *spec.Drift) events.ColumnEvaluation {
	c := events.ColumnEvaluation{Column: m.column, Statistic: statisticPSI, Threshold: d.Alert, Action: m.action}
	if m.ref == nil || m.counter.N() == 0 {
		return c
	}
	counts := m.counter.Counts()
	c.N = int(m.counter.N())
	psi, parts, err := baseline.PSI(m.ref, counts, baseline.PSIOptions{Empty: baseline.EmptyFloor, Floor: d.EmptyShare})
	if err != nil {
		panic(fmt.Sprintf("drift: psi of counted bins: %v", err)) // the counter is the reference's own and not empty
	}
	c.Value = psi
	c.Bound = baseline.SignificanceBound(m.ref.Occupied(counts), m.ref.Total, m.counter.N(), d.Confidence)
	for _, p := range parts {
		c.Bins = append(c.Bins, events.BinShare{Bin: p.Bin, Reference: p.Reference, Current: p.Current, PSI: p.PSI})
	}
	return c
}
