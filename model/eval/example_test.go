package eval_test

import (
	"fmt"

	"telco-churn-mlops/model/eval"
)

// A challenger and the champion score the same customers. Is the difference more than chance?
func ExampleCompareAUC() {
	left := []float64{1, 1, 1, 1, 0, 0, 0, 0, 0, 0}
	challenger := []float64{0.9, 0.8, 0.7, 0.4, 0.6, 0.5, 0.3, 0.2, 0.2, 0.1}
	champion := []float64{0.9, 0.3, 0.6, 0.4, 0.7, 0.5, 0.3, 0.2, 0.1, 0.1}
	c, err := eval.CompareAUC(challenger, champion, left, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f against %.3f: difference %.3f, p = %.2f\n", c.A.AUC, c.B.AUC, c.Difference, c.P.Float())
	// Output: 0.917 against 0.771: difference 0.146, p = 0.25
}

// Two learners over the same folds, 5-fold repeated twice.
func ExampleCompareCV() {
	a := []float64{0.851, 0.846, 0.858, 0.843, 0.852, 0.849, 0.855, 0.847, 0.850, 0.848}
	b := []float64{0.848, 0.845, 0.856, 0.844, 0.848, 0.847, 0.853, 0.846, 0.847, 0.846}
	c, err := eval.CompareCV(a, b, 5)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f, from %.4f to %.4f, p = %.3f, better in %d of %d folds\n", c.Mean, c.Low.Float(), c.High.Float(), c.P.Float(), c.Wins, len(a))
	// Output: 0.0019, from 0.0001 to 0.0037, p = 0.044, better in 9 of 10 folds
}

// Whom to call: a customer is worth 200, the offer costs 10 and the call 1, and about three in ten accept.
func ExampleCampaign_ExpectedMaxProfit() {
	left := []float64{1, 1, 0, 1, 0, 0, 0, 0, 0, 0}
	score := []float64{0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05}
	d, err := eval.DefaultCampaign().ExpectedMaxProfit(score, left, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("profit %.2f per customer, calling %.0f %% of them: those from %.2f\n", d.Value, 100*d.Share, d.Threshold)
	// Output: profit 15.70 per customer, calling 40 % of them: those from 0.55
}
