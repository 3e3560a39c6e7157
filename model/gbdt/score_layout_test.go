package gbdt_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/dmitryikh/leaves"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// layoutShapes are those of docs/serving-layout.md.
var layoutShapes = []struct {
	name          string
	depth, leaves int
}{{"depth-3", 3, 0}, {"31-leaves", 0, 31}}

// Every layout that is compared scores to the bit as the package does: what was measured was the same work.
func TestAlternativeLayoutsScoreAlike(t *testing.T) {
	m, names := generate(2, 1003, 45)
	for _, shape := range layoutShapes {
		p := gbdt.DefaultParams()
		p.MaxDepth, p.MaxLeaves = shape.depth, shape.leaves
		e := train(t, p, names, m)
		want := make([]float64, m.Rows)
		for i := range want {
			want[i] = e.Margin(m.Row(i))
		}
		for _, way := range gbdt.Alternatives(e) {
			got := make([]float64, m.Rows)
			if way.Many != nil {
				way.Many(m.X, got)
			} else {
				for i := range got {
					got[i] = way.One(m.Row(i))
				}
			}
			for i := range want {
				require.Equal(t, math.Float64bits(want[i]), math.Float64bits(got[i]), "%s, %s, row %d", shape.name, way.Name, i)
			}
		}
	}
}

// BenchmarkLayouts scores the same rows by the package, by the layouts that it could have had, and by the module leaves, in turns on one goroutine,
// and reports the least time of a row, as what disturbs only adds to it, and its ratio to that of leaves. docs/serving-layout.md keeps the figures.
func BenchmarkLayouts(b *testing.B) {
	m, names := generate(1, 7000, 45)
	for _, shape := range layoutShapes {
		p := gbdt.DefaultParams()
		p.MaxDepth, p.MaxLeaves = shape.depth, shape.leaves
		e := train(b, p, names, m)
		older := bytes.Replace(text(b, e), []byte("version=v4\n"), []byte("version=v3\n"), 1)
		peer, err := leaves.LGEnsembleFromReader(bufio.NewReader(bytes.NewReader(older)), false)
		require.NoError(b, err)
		dst := make([]float64, m.Rows)
		one, many := []gbdt.Alternative{
			{Name: "the package's", One: e.Margin},
			{Name: "leaves", One: func(x []float64) float64 { return peer.PredictSingle(x, 0) }},
		}, []gbdt.Alternative{
			{Name: "the package's", Many: func(x, dst []float64) { e.Margins(x, dst) }},
			{Name: "leaves", Many: func(x, dst []float64) { require.NoError(b, peer.PredictDense(x, m.Rows, m.Width, dst, 0, 1)) }},
		}
		for _, way := range gbdt.Alternatives(e) {
			if way.One != nil {
				one = append(one, way)
			} else {
				many = append(many, way)
			}
		}
		for what, ways := range map[string][]gbdt.Alternative{"one": one, "many": many} {
			b.Run(fmt.Sprintf("%s-%s", shape.name, what), func(b *testing.B) {
				times := make([][]float64, len(ways))
				for b.Loop() {
					for i, way := range ways {
						began := time.Now()
						if way.Many != nil {
							way.Many(m.X, dst)
						} else {
							for k := range m.Rows {
								dst[k] = way.One(m.Row(k))
							}
						}
						times[i] = append(times[i], float64(time.Since(began).Nanoseconds())/float64(m.Rows))
					}
				}
				peer := slices.Min(times[1])
				for i, way := range ways {
					b.Logf("%-34s %7.0f ns/row  %5.2f of leaves", way.Name, slices.Min(times[i]), slices.Min(times[i])/peer)
				}
				b.ReportMetric(slices.Min(times[0])/peer, "ratio")
			})
		}
	}
}
