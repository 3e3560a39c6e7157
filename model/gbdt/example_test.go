package gbdt_test

import (
	"bytes"
	"context"
	"fmt"

	"telco-churn-mlops/model/gbdt"
)

func ExampleTrain() {
	// Customers of few months leave, those of many stay.
	m := gbdt.Matrix{Rows: 200, Width: 1}
	for i := range m.Rows {
		left := 0.0
		if i < 80 {
			left = 1
		}
		m.X, m.Label = append(m.X, float64(i)), append(m.Label, left)
	}
	fitted, report, err := gbdt.Train(context.Background(), gbdt.DefaultParams(), []string{"tenure"}, m, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	if err := fitted.WriteText(&file); err != nil {
		fmt.Println(err)
		return
	}
	served, err := gbdt.ParseText(&file)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Trees, "trees")
	fmt.Printf("tenure 79: %.3f\n", served.Probability([]float64{79}))
	fmt.Printf("tenure 80: %.3f\n", served.Probability([]float64{80}))
	// Output:
	// 100 trees
	// tenure 79: 0.997
	// tenure 80: 0.002
}
