package synth

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/gbdt"
)

// matrixOf codes customers as numbers, two-valued columns as 0 and 1 and the others as one indicator per level.
func matrixOf(rows []Customer) (m gbdt.Matrix, names []string) {
	for _, c := range rows {
		x := []float64{
			float64(c.Tenure), c.MonthlyCharges, c.TotalCharges, is(c.SeniorCitizen), is(c.Partner), is(c.Dependents),
			is(c.PhoneService), is(c.PaperlessBilling), is(c.Gender == "Male"), is(c.MultipleLines == "Yes"),
		}
		for _, v := range []string{c.OnlineSecurity, c.OnlineBackup, c.DeviceProtection, c.TechSupport, c.StreamingTV, c.StreamingMovies} {
			x = append(x, is(v == "Yes"))
		}
		for i := range 3 {
			x = append(x, is(c.Contract == contracts[i]), is(c.InternetService == internets[i]))
		}
		for _, p := range payments {
			x = append(x, is(c.PaymentMethod == p))
		}
		m.Width = len(x)
		m.Rows++
		m.X = append(m.X, x...)
		m.Label = append(m.Label, is(c.Churn))
	}
	for i := range m.Width {
		names = append(names, "x"+string(rune('a'+i)))
	}
	return m, names
}

func train(t *testing.T, rows []Customer) *gbdt.Ensemble {
	t.Helper()
	m, names := matrixOf(rows)
	p := gbdt.DefaultParams()
	p.Seed, p.Threads = 1, 1
	e, _, err := gbdt.Train(context.Background(), p, names, m, nil, nil)
	require.NoError(t, err)
	return e
}

func scores(e *gbdt.Ensemble, rows []Customer) (score, label []float64) {
	m, _ := matrixOf(rows)
	for i := range m.Rows {
		score = append(score, e.Probability(m.Row(i)))
	}
	return score, m.Label
}

// TestBothRegimesCanBeLearned trains trees: on as many rows of the first regime as the public file has, and on what a window of the second
// regime may hold.
func TestBothRegimesCanBeLearned(t *testing.T) {
	before := customers(t, Config{Rows: 17_043, Seed: 21, Regime: Original})
	after := customers(t, Config{Rows: 12_000, Seed: 22, Regime: Shifted})
	old := train(t, before[:7043])
	score, label := scores(old, before[7043:])
	auc, err := eval.ROCAUC(score, label, nil)
	require.NoError(t, err)
	threshold, f1, err := eval.BestF1Threshold(score, label, nil)
	require.NoError(t, err)
	t.Logf("original, 7043 rows: ROC-AUC %.4f, F1 %.4f at %.3f", auc, f1, threshold)
	require.Greater(t, auc, 0.84)

	test := after[2000:]
	score, label = scores(old, test)
	staleF1, err := eval.F1(score, label, nil, threshold)
	require.NoError(t, err)
	t.Logf("the same model on the shifted regime: F1 %.4f", staleF1)
	require.Less(t, staleF1, f1-0.25)

	for _, n := range []int{500, 1000, 1500} {
		score, label = scores(train(t, after[:n]), test)
		auc, err := eval.ROCAUC(score, label, nil)
		require.NoError(t, err)
		f1, err := eval.F1(score, label, nil, 0.4)
		require.NoError(t, err)
		t.Logf("shifted, %d rows: ROC-AUC %.4f, F1 %.4f at 0.4", n, auc, f1)
		require.Greater(t, auc, 0.80, "%d rows", n)
		require.Greater(t, f1, staleF1+0.25, "%d rows", n)
	}
}

// TestOnlyMonthlyChargesMoves holds the numeric columns of both regimes against a baseline of the first.
func TestOnlyMonthlyChargesMoves(t *testing.T) {
	columns := map[string]func(Customer) float64{
		"tenure":         func(c Customer) float64 { return float64(c.Tenure) },
		"MonthlyCharges": func(c Customer) float64 { return c.MonthlyCharges },
		"TotalCharges":   func(c Customer) float64 { return c.TotalCharges },
	}
	reference := customers(t, Config{Rows: 7043, Seed: 31, Regime: Original})
	for _, r := range regimes {
		window := customers(t, Config{Rows: 1000, Seed: 32, Regime: r})
		for name, value := range columns {
			var values []float64
			for _, c := range reference {
				values = append(values, value(c))
			}
			ref, err := baseline.FitNumeric(name, values, 10)
			require.NoError(t, err)
			counter := ref.NewCounter()
			for _, c := range window {
				counter.Add(ref.BinNumeric(value(c)))
			}
			psi, _, err := baseline.PSI(&ref, counter.Counts(), baseline.DefaultPSIOptions())
			require.NoError(t, err)
			t.Logf("%s, %s: PSI %.4f", r, name, psi)
			if name == "MonthlyCharges" && r == Shifted {
				require.Greater(t, psi, 1.0)
			} else {
				require.Less(t, psi, 0.1)
			}
		}
	}
}
