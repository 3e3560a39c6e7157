package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/dmitryikh/leaves"

	"telco-churn-mlops/model/gbdt"
)

// scorer is one way to score a row.
type scorer struct {
	name  string
	score func(row []float64) float64
}

// workRow times the scoring of one row after another, by us and by leaves in turns, with models of two shapes. The series are
// nanoseconds a row, "<shape>/<side>", and mallocs a row, "<shape>/allocations".
func workRow(ctx context.Context, q request, r *result) error {
	customers, err := readCustomers(ctx, q.File)
	if err != nil {
		return err
	}
	p := q.parameters()
	p.MaxDepth, p.MaxLeaves = 3, 0
	pipeline, shallow, err := customers.fit(ctx, p, upTo(customers.table.Len()))
	if err != nil {
		return err
	}
	few := upTo(min(1024, customers.table.Len()))
	train, err := openSet(q.Train)
	if err != nil {
		return err
	}
	p.MaxDepth, p.MaxLeaves = 0, 31
	m := train.matrix()
	deep, _, err := gbdt.Train(ctx, p, train.names(), m, nil, nil)
	if err != nil {
		return err
	}
	m.Rows = min(1024, m.Rows)
	r.Series = map[string][]float64{}
	if err := compareScorers("shallow", shallow, customers.rows(pipeline, few), q, r); err != nil {
		return err
	}
	return compareScorers("deep", deep, m, q, r)
}

// compareScorers times both ways on the rows of m, after seeing that they agree.
func compareScorers(shape string, e *gbdt.Ensemble, m gbdt.Matrix, q request, r *result) error {
	var text bytes.Buffer
	if err := e.WriteText(&text); err != nil {
		return err
	}
	// leaves takes version 3 alone; for what we write the two differ in nothing else.
	older := bytes.Replace(text.Bytes(), []byte("version=v4\n"), []byte("version=v3\n"), 1)
	theirs, err := leaves.LGEnsembleFromReader(bufio.NewReader(bytes.NewReader(older)), false)
	if err != nil {
		return fmt.Errorf("read our model by leaves: %w", err)
	}
	scorers := []scorer{
		{"ours", e.Margin},
		{"leaves", func(row []float64) float64 { return theirs.PredictSingle(row, 0) }},
	}
	for i := range m.Rows {
		if a, b := scorers[0].score(m.Row(i)), scorers[1].score(m.Row(i)); math.Abs(a-b) > 1e-9 {
			return fmt.Errorf("row %d: we score %v, leaves %v", i, a, b)
		}
	}
	for range max(1, q.Repeat) {
		for _, s := range scorers {
			ns, allocations := timeScorer(s.score, m, q.Seconds)
			key := shape + "/" + s.name
			r.Series[key] = append(r.Series[key], ns)
			if s.name == "ours" {
				r.Series[shape+"/allocations"] = append(r.Series[shape+"/allocations"], allocations)
			}
		}
	}
	return nil
}

// timeScorer scores all rows again and again for so many seconds and returns nanoseconds and allocations a row.
func timeScorer(score func([]float64) float64, m gbdt.Matrix, seconds float64) (ns, allocations float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, n, sum := time.Now(), 0, 0.
	for time.Since(begin).Seconds() < seconds || n == 0 {
		for i := range m.Rows {
			sum += score(m.Row(i))
		}
		n += m.Rows
	}
	elapsed := time.Since(begin)
	runtime.ReadMemStats(&after)
	if math.IsNaN(sum) {
		ns = math.NaN() // sum is used, so that nothing above can be left out
	}
	return ns + float64(elapsed.Nanoseconds())/float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)
}

// workBatch scores rows one batch after another with the model that XGBoost fitted and saved, after seeing that its scores are ours.
func workBatch(_ context.Context, q request, r *result) error {
	train, err := openSet(q.Train)
	if err != nil {
		return err
	}
	f, err := os.Open(q.Model)
	if err != nil {
		return err
	}
	defer f.Close()
	model, err := gbdt.ParseXGBoost(bufio.NewReader(f))
	if err != nil {
		return fmt.Errorf("read %s: %w", q.Model, err)
	}
	theirs, _, err := mapFloats(q.Model + ".scores.npy")
	if err != nil {
		return err
	}
	if q.Batch > train.Len() || len(theirs) != q.Batch || model.Width() != train.width {
		return fmt.Errorf("a batch of %d rows of %d features, with %d scores, out of %d rows of %d", q.Batch, model.Width(), len(theirs), train.Len(), train.width)
	}
	m, scores := train.matrix(), make([]float64, q.Batch)
	job := func() error {
		for range q.Rounds {
			model.Margins(m.X[:q.Batch*m.Width], scores)
		}
		return nil
	}
	if err := job(); err != nil {
		return err
	}
	for i, s := range scores {
		if !(math.Abs(s-float64(theirs[i])) <= 1e-5) { // theirs are sums in single precision
			return fmt.Errorf("row %d: we score %v, XGBoost %v", i, s, theirs[i])
		}
	}
	return timed(q, r, job)
}
