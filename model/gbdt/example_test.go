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

func ExampleJoin() {
	// Rows that come in chunks, as from a file, are quantized chunk by chunk by the bins of the first.
	chunk := func(first int) gbdt.Matrix {
		m := gbdt.Matrix{Rows: 100, Width: 1}
		for i := first; i < first+m.Rows; i++ {
			left := 0.0
			if i%50 < 20 {
				left = 1
			}
			m.X, m.Label = append(m.X, float64(i%50)), append(m.Label, left)
		}
		return m
	}
	p := gbdt.DefaultParams()
	bins, err := gbdt.CutBins(p, []string{"tenure"}, chunk(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	var parts []*gbdt.Part
	for first := 0; first < 1000; first += 100 {
		part, err := bins.Quantize(chunk(first))
		if err != nil {
			fmt.Println(err)
			return
		}
		parts = append(parts, part)
	}
	data, err := gbdt.Join(parts...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fitted, _, err := gbdt.TrainData(context.Background(), p, data, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(data.Len(), "rows in", data.Bytes(), "bytes")
	fmt.Printf("tenure 10: %.3f\n", fitted.Probability([]float64{10}))
	// Output:
	// 1000 rows in 9000 bytes
	// tenure 10: 0.999
}
