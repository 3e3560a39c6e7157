package gbdt_test

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dmitryikh/leaves"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// BenchmarkMarginAgainstLeaves scores one row at a time by an ensemble and by the module leaves in turn, and reports the ratio of
// the medians of their times.
func BenchmarkMarginAgainstLeaves(b *testing.B) {
	m, names := generate(1, 7000, 45)
	for _, maxLeaves := range []int{0, 31} {
		p := gbdt.DefaultParams()
		if maxLeaves > 0 {
			p.MaxDepth, p.MaxLeaves = 0, maxLeaves
		}
		e := train(b, p, names, m)
		older := bytes.Replace(text(b, e), []byte("version=v4\n"), []byte("version=v3\n"), 1)
		other, err := leaves.LGEnsembleFromReader(bufio.NewReader(bytes.NewReader(older)), false)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("leaves-%d", maxLeaves), func(b *testing.B) {
			b.ReportAllocs()
			var ours, theirs []float64
			for b.Loop() {
				begin := time.Now()
				for i := range m.Rows {
					e.Margin(m.Row(i))
				}
				middle := time.Now()
				for i := range m.Rows {
					other.PredictSingle(m.Row(i), 0)
				}
				ours = append(ours, float64(middle.Sub(begin).Nanoseconds())/float64(m.Rows))
				theirs = append(theirs, float64(time.Since(middle).Nanoseconds())/float64(m.Rows))
			}
			b.ReportMetric(median(ours), "ns/row")
			b.ReportMetric(median(theirs), "leaves-ns/row")
			b.ReportMetric(median(ours)/median(theirs), "ratio")
		})
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkMargins scores 7,000 rows in one call, on one goroutine.
func BenchmarkMargins(b *testing.B) {
	m, names := generate(1, 7000, 45)
	for _, shape := range []struct{ depth, leaves int }{{3, 0}, {4, 0}, {6, 0}, {0, 31}} {
		p := gbdt.DefaultParams()
		p.MaxDepth, p.MaxLeaves = shape.depth, shape.leaves
		e := train(b, p, names, m)
		dst := make([]float64, m.Rows)
		b.Run(fmt.Sprintf("depth-%d-leaves-%d", shape.depth, shape.leaves), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Margins(m.X, dst)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(m.Rows), "ns/row")
		})
	}
}
