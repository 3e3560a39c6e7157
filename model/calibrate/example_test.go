package calibrate_test

import (
	"encoding/json"
	"fmt"

	"telco-churn-mlops/model/calibrate"
)

// A model that was balanced by weights says 0.5 where one row in four is positive. Its out-of-fold scores teach the calibrator.
func ExampleFit() {
	var score, label []float64
	for i := range 400 {
		s := float64(i%20)/20 + 0.025
		score = append(score, s)
		// of the 20 rows of one score, s/(4-3s) are positive: the odds are a quarter of what the score says
		positive := 0.0
		if float64(i/20)+0.5 < 20*s/(4-3*s) {
			positive = 1
		}
		label = append(label, positive)
	}
	c, err := calibrate.Fit(calibrate.Sigmoid, score, label, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("0.5 means %.2f\n", c.Apply(0.5))
	raw, err := json.Marshal(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	var frozen calibrate.Calibrator
	err = json.Unmarshal(raw, &frozen)
	fmt.Println(frozen.Method(), frozen.Apply(0.5) == c.Apply(0.5), err)
	// Output:
	// 0.5 means 0.20
	// sigmoid true <nil>
}
