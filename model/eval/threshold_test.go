package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

type policies struct {
	Name                 string
	Score, Label, Weight []float64
	Campaign             Campaign
	Gamma                float64
	EMP                  float64
	EMPShare             float64 `json:"emp_share"`
	Profit               float64
	ProfitShare          float64    `json:"profit_share"`
	CostMatrix           CostMatrix `json:"cost_matrix"`
	Cost                 float64
	CostShare            float64 `json:"cost_share"`
}

func policyCases(t *testing.T) []policies {
	t.Helper()
	var file struct{ Cases []policies }
	load(t, "profit/cases.json", &file)
	require.Len(t, file.Cases, 10)
	return file.Cases
}

func TestPoliciesAgreeWithTrial(t *testing.T) {
	for _, c := range policyCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			emp, err := c.Campaign.ExpectedMaxProfit(c.Score, c.Label, c.Weight)
			require.NoError(t, err)
			require.InDelta(t, c.EMP, emp.Value, 1e-10)
			require.InDelta(t, c.EMPShare, emp.Share, 1e-10)

			profit, err := c.Campaign.MaxProfit(c.Score, c.Label, c.Weight, c.Gamma)
			require.NoError(t, err)
			require.InDelta(t, c.Profit, profit.Value, 1e-12)
			require.InDelta(t, c.ProfitShare, profit.Share, 1e-12)
			require.InDelta(t, c.ProfitShare, shareAt(c, profit.Threshold), 1e-12)

			cost, err := BestCostThreshold(c.Score, c.Label, c.Weight, c.CostMatrix)
			require.NoError(t, err)
			require.InDelta(t, c.Cost, cost.Value, 1e-12)
			require.InDelta(t, c.CostShare, cost.Share, 1e-12)
			require.InDelta(t, c.CostShare, shareAt(c, cost.Threshold), 1e-12)

			// no threshold's share is nearer to the advice
			nearest := math.Abs(shareAt(c, emp.Threshold) - emp.Share)
			for _, s := range append([]float64{2}, c.Score...) {
				require.LessOrEqual(t, nearest, math.Abs(shareAt(c, s)-emp.Share)+1e-12)
			}
		})
	}
}

// shareAt is the share of weight that a threshold predicts positive.
func shareAt(c policies, threshold float64) float64 {
	above, all := 0.0, 0.0
	for i, s := range c.Score {
		if s >= threshold {
			above += weightAt(c.Weight, i)
		}
		all += weightAt(c.Weight, i)
	}
	return above / all
}

func TestExpectedMaxProfitIsTheLimitOfMaxProfit(t *testing.T) {
	c := policyCases(t)[0]
	// gamma all but certain to be 0.3
	c.Campaign.Alpha, c.Campaign.Beta = 3e5, 7e5
	emp, err := c.Campaign.ExpectedMaxProfit(c.Score, c.Label, nil)
	require.NoError(t, err)
	fixed, err := c.Campaign.MaxProfit(c.Score, c.Label, nil, 0.3)
	require.NoError(t, err)
	require.InDelta(t, fixed.Value, emp.Value, 1e-2)
	require.InDelta(t, fixed.Share, emp.Share, 1e-6)
	require.InDelta(t, fixed.Threshold, emp.Threshold, 1e-12)
}

func TestPolicyProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for range 200 {
		n := 2 + r.IntN(40)
		score, label, copies := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			score[i], label[i], copies[i] = math.Round(r.Float64()*10)/10, float64(r.IntN(2)), float64(r.IntN(3))
		}
		label[0], label[1], copies[0], copies[1] = 0, 1, 1, 1
		var s2, y2 []float64
		for _, i := range r.Perm(n) {
			for range int(copies[i]) {
				s2, y2 = append(s2, score[i]), append(y2, label[i])
			}
		}
		campaign := Campaign{Lifetime: 100 + 100*r.Float64(), Incentive: 20 * r.Float64(), Contact: 5 * r.Float64(), Alpha: 1 + 5*r.Float64(), Beta: 1 + 5*r.Float64()}
		cost := CostMatrix{TP: r.Float64(), FP: 1 + r.Float64(), TN: r.Float64(), FN: 1 + 4*r.Float64()}
		mean := campaign.Alpha / (campaign.Alpha + campaign.Beta)
		for name, f := range map[string]func(s, y, w []float64) (Decision, error){
			"cost":   func(s, y, w []float64) (Decision, error) { return BestCostThreshold(s, y, w, cost) },
			"profit": func(s, y, w []float64) (Decision, error) { return campaign.MaxProfit(s, y, w, mean) },
			"emp":    func(s, y, w []float64) (Decision, error) { return campaign.ExpectedMaxProfit(s, y, w) },
		} {
			a, err := f(score, label, copies)
			require.NoError(t, err)
			b, err := f(s2, y2, nil)
			require.NoError(t, err)
			require.InDelta(t, a.Value, b.Value, 1e-9, name)
			require.InDelta(t, a.Share, b.Share, 1e-9, name)
			require.Equal(t, a.Threshold, b.Threshold, name)
		}
		emp, err := campaign.ExpectedMaxProfit(score, label, copies)
		require.NoError(t, err)
		best, err := campaign.MaxProfit(score, label, copies, mean)
		require.NoError(t, err)
		require.GreaterOrEqual(t, emp.Value, best.Value-1e-9, "who knows gamma does no worse")
	}
}

func TestOfTwoEquallyNearSharesTheHigherThresholdIsTaken(t *testing.T) {
	r, err := rankForPolicy([]float64{0.9, 0.6, 0.3, 0.1}, []float64{1, 0, 1, 0}, nil)
	require.NoError(t, err)
	for quarters, block := range map[float64]int{0: -1, 0.5: -1, 0.51: 0, 1: 0, 1.5: 0, 1.75: 1, 2.5: 1, 3.5: 2, 4: 3} {
		require.Equal(t, block, r.nearest(quarters/4*r.total), quarters)
	}
}

func TestPolicyEdges(t *testing.T) {
	score, label := []float64{0.2, 0.4, 0.6, 0.8}, []float64{0, 1, 0, 1}
	dear := CostMatrix{FP: 100, FN: 1, TP: 0}
	d, err := BestCostThreshold([]float64{0.9, 0.1}, []float64{0, 1}, nil, dear)
	require.NoError(t, err)
	require.Equal(t, Decision{Threshold: 1, Value: 0.5, Share: 0}, d, "nobody")
	d, err = BestCostThreshold([]float64{1, 0.1}, []float64{0, 1}, nil, dear)
	require.NoError(t, err)
	require.Equal(t, math.Nextafter(1, 2), d.Threshold, "nobody, above a score of 1")
	d, err = BestCostThreshold(score, label, nil, CostMatrix{FP: 1, FN: 100})
	require.NoError(t, err)
	require.InDelta(t, 0.3, d.Threshold, 1e-15)
	require.Equal(t, 0.25, d.Value)
	require.Equal(t, 0.75, d.Share)
	d, err = BestCostThreshold(score, label, nil, CostMatrix{FP: 1, FN: 1})
	require.NoError(t, err)
	require.InDelta(t, 0.7, d.Threshold, 1e-15, "of equal costs, 0.25 at 0.7 and 0.3, the highest threshold")
	d, err = BestCostThreshold([]float64{0.2, 0.1}, []float64{0, 1}, nil, CostMatrix{FP: 1, FN: 5})
	require.NoError(t, err)
	require.Equal(t, 0.1, d.Threshold, "everybody: the lowest score itself")
	require.InDelta(t, 1.0/6, CostMatrix{FP: 1, FN: 5}.Threshold(), 1e-15)
	d, err = BestCostThreshold(score, label, nil, CostMatrix{FP: math.MaxFloat64, FN: math.MaxFloat64})
	require.NoError(t, err)
	require.False(t, math.IsInf(d.Value, 0))

	none, err := Campaign{Lifetime: 12, Incentive: 10, Contact: 9, Alpha: 1, Beta: 30}.ExpectedMaxProfit(score, label, nil)
	require.NoError(t, err)
	require.Equal(t, Decision{Threshold: 1}, none, "even a certain leaver does not pay")
	free, err := DefaultCampaign().MaxProfit(score, label, nil, 0)
	require.NoError(t, err)
	require.Equal(t, Decision{Threshold: 1}, free, "nobody accepts")

	for text, f := range map[string]func() error{
		"cost NaN": func() error {
			_, err := BestCostThreshold(score, label, nil, CostMatrix{TP: math.NaN()})
			return err
		},
		"false positive costs 0":  func() error { _, err := BestCostThreshold(score, label, nil, CostMatrix{}); return err },
		"false negative costs 1":  func() error { return CostMatrix{FP: 1, FN: 1, TP: 1}.Validate() },
		"acceptance 1.5":          func() error { _, err := DefaultCampaign().MaxProfit(score, label, nil, 1.5); return err },
		"acceptance NaN":          func() error { _, err := DefaultCampaign().MaxProfit(score, label, nil, math.NaN()); return err },
		"contact -1":              func() error { return Campaign{Lifetime: 2, Contact: -1}.Validate() },
		"both 0":                  func() error { return Campaign{Lifetime: 2, Alpha: 1, Beta: 1}.Validate() },
		"lifetime value 2 is not": func() error { return Campaign{Lifetime: 2, Incentive: 2, Alpha: 1, Beta: 1}.Validate() },
		"lifetime +Inf":           func() error { return Campaign{Lifetime: math.Inf(1), Incentive: 2, Alpha: 1, Beta: 1}.Validate() },
		"parameter 0": func() error {
			_, err := Campaign{Lifetime: 9, Incentive: 2, Beta: 1}.ExpectedMaxProfit(score, label, nil)
			return err
		},
		"parameter 1e+07": func() error { return Campaign{Lifetime: 9, Incentive: 2, Alpha: 1, Beta: 1e7}.Validate() },
		"no threshold lies above": func() error {
			_, err := BestCostThreshold([]float64{math.MaxFloat64, 0}, []float64{0, 1}, nil, dear)
			return err
		},
		"single class": func() error {
			_, err := DefaultCampaign().ExpectedMaxProfit(score, make([]float64, 4), nil)
			return err
		},
		"row 0: score NaN": func() error {
			_, err := DefaultCampaign().MaxProfit([]float64{math.NaN()}, []float64{1}, nil, 0.3)
			return err
		},
		"labels hold a single class": func() error { _, err := BestCostThreshold(score, make([]float64, 4), nil, dear); return err },
		"4 scores but 1 labels":      func() error { _, err := BestCostThreshold(score, []float64{1}, nil, dear); return err },
	} {
		require.ErrorContains(t, f(), text)
	}
}
