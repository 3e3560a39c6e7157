package gbdt_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"telco-churn-mlops/model/gbdt"
)

// telcoLike returns rows of 19 columns of whole numbers with the levels of the Telco data: 16 of two to four, months, and charges in
// cents.
func telcoLike(seed uint64, rows int) (gbdt.Matrix, []string) {
	random := rand.New(rand.NewPCG(seed, 19))
	levels := []int{2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 4}
	m := gbdt.Matrix{Rows: rows, Width: len(levels) + 3, X: make([]float64, rows*(len(levels)+3)), Label: make([]float64, rows)}
	names := make([]string, m.Width)
	for f := range names {
		names[f] = fmt.Sprint("c", f)
	}
	for i := range rows {
		x := m.Row(i)
		margin := -0.8
		for f, n := range levels {
			x[f] = float64(random.IntN(n))
			margin += 0.3 * (x[f] - float64(n-1)/2) * float64(1-2*(f%2))
		}
		tenure := random.IntN(73)
		charge := 1800 + random.IntN(10200)
		x[16], x[17], x[18] = float64(tenure), float64(charge), math.Floor(float64(tenure*charge)*(0.95+0.1*random.Float64()))
		margin += 1.2 - float64(tenure)/25 + float64(charge-6500)/4000
		if random.Float64() < gbdt.Sigmoid(margin) {
			m.Label[i] = 1
		}
	}
	return m, names
}
