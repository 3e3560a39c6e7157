package eval

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

type reliability struct {
	Bins     [][6]float64
	ECE, MCE float64
}

type curves struct {
	Name                 string
	Score, Label, Weight []float64
	Width, Count         reliability
	FPR, TPR             []float64
	ROCThresholds        []float64 `json:"roc_thresholds"`
	Precision, Recall    []float64
	PRThresholds         []float64 `json:"pr_thresholds"`
	Gains                []float64
	KS                   *float64
	Wilson               [][2]float64
	HosmerLemeshow       *[3]float64 `json:"hosmer_lemeshow"`
}

func curveCases(t *testing.T) []curves {
	t.Helper()
	var file struct{ Cases []curves }
	load(t, "curves/cases.json", &file)
	require.Len(t, file.Cases, 6)
	return file.Cases
}

func TestCalibrationTableAgreesWithScikitLearn(t *testing.T) {
	for _, c := range curveCases(t) {
		for by, want := range map[Binning]reliability{EqualWidth: c.Width, EqualCount: c.Count} {
			t.Run(c.Name+", "+string(by), func(t *testing.T) {
				got, err := CalibrationTable(c.Score, c.Label, c.Weight, map[Binning]int{EqualWidth: 10, EqualCount: 5}[by], by)
				require.NoError(t, err)
				require.Len(t, got.Bins, len(want.Bins))
				rows, share := 0, 0.0
				for i, b := range got.Bins {
					w := want.Bins[i]
					require.Equal(t, [3]float64{w[0], w[1], w[2]}, [3]float64{b.From, b.To, float64(b.Rows)})
					require.InDelta(t, w[3], b.Share, 1e-12)
					require.InDelta(t, w[4], b.Score, 1e-12)
					require.InDelta(t, w[5], b.Observed, 1e-12)
					require.True(t, b.Contains(b.Observed))
					rows += b.Rows
					share += b.Share
				}
				require.InDelta(t, 1, share, 1e-12)
				require.InDelta(t, want.ECE, got.ECE, 1e-12)
				require.InDelta(t, want.MCE, got.MCE, 1e-12)
				if by != EqualCount || c.Weight != nil {
					return
				}
				for i, b := range got.Bins {
					require.InDelta(t, c.Wilson[i][0], b.Low.Float(), 1e-9)
					require.InDelta(t, c.Wilson[i][1], b.High.Float(), 1e-9)
				}
				h := got.HosmerLemeshow()
				require.InDelta(t, c.HosmerLemeshow[0], h.Statistic, 1e-9)
				require.Equal(t, int(c.HosmerLemeshow[1]), h.DF)
				require.InDelta(t, c.HosmerLemeshow[2], h.P.Float(), 1e-11)

				raw, err := json.Marshal(got)
				require.NoError(t, err)
				var again Calibration
				require.NoError(t, json.Unmarshal(raw, &again))
				require.InDelta(t, h.Statistic, again.HosmerLemeshow().Statistic, 1e-12)
			})
		}
	}
}

func TestCalibrationTableAtTheEdges(t *testing.T) {
	score := []float64{0, 0.1, math.Nextafter(0.1, 1), 0.3, 0.7, 1}
	got, err := CalibrationTable(score, []float64{0, 0, 0, 1, 1, 1}, nil, 10, EqualWidth)
	require.NoError(t, err)
	var from []float64
	for _, b := range got.Bins {
		from = append(from, b.From)
	}
	require.Equal(t, []float64{0, math.Nextafter(0.1, 1), 0.3, 0.7, 1}, from, "an edge belongs below; 0.3 and 0.7 are edges that multiply badly")
	require.Equal(t, 2, got.Bins[0].Rows)

	got, err = CalibrationTable([]float64{0.5, 0.5, 0.5}, []float64{1, 1, 1}, []float64{1e200, 1e200, 1e-200}, 4, EqualCount)
	require.NoError(t, err)
	require.Len(t, got.Bins, 1)
	require.Equal(t, 0.5, got.ECE)
	require.Equal(t, 1.0, got.Bins[0].High.Float())
	require.InDelta(t, 2/(2+3.841458820694124), got.Bins[0].Low.Float(), 1e-12, "two rows in effect: n/(n+z^2)")

	sure, err := CalibrationTable([]float64{0, 1}, []float64{0, 1}, nil, 2, EqualWidth)
	require.NoError(t, err)
	require.Zero(t, sure.MCE)
	require.Equal(t, HosmerLemeshow{}, sure.HosmerLemeshow())
	wrong, err := CalibrationTable([]float64{0, 1}, []float64{1, 1}, nil, 2, EqualWidth)
	require.NoError(t, err)
	require.True(t, wrong.HosmerLemeshow().P.IsZero())

	for text, f := range map[string]func() error{
		"0 bins": func() error { _, err := CalibrationTable([]float64{0}, []float64{0}, nil, 0, EqualWidth); return err },
		"1001 bins": func() error {
			_, err := CalibrationTable([]float64{0}, []float64{0}, nil, 1001, EqualWidth)
			return err
		},
		"binning \"x\"":    func() error { _, err := CalibrationTable([]float64{0}, []float64{0}, nil, 2, "x"); return err },
		"row 0: score 1.5": func() error { _, err := CalibrationTable([]float64{1.5}, []float64{0}, nil, 2, EqualWidth); return err },
		"no rows":          func() error { _, err := CalibrationTable(nil, nil, nil, 2, EqualWidth); return err },
	} {
		require.ErrorContains(t, f(), text)
	}
}

func TestCurvesAgreeWithScikitLearn(t *testing.T) {
	for _, c := range curveCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			roc, err := ROCCurve(c.Score, c.Label, c.Weight, 1000)
			require.NoError(t, err)
			require.Equal(t, ROCPoint{}, roc[0])
			require.Equal(t, [2]float64{1, 1}, [2]float64{roc[len(roc)-1].FPR, roc[len(roc)-1].TPR})
			// scikit-learn keeps more of the points on straight lines: ours are among its, and its all lie on the lines between ours
			require.LessOrEqual(t, len(roc), len(c.FPR))
			k := 0
			for i := range c.FPR {
				for k+1 < len(roc)-1 && roc[k+1].FPR+roc[k+1].TPR < c.FPR[i]+c.TPR[i]-1e-9 {
					k++
				}
				from, to := roc[k], roc[k+1]
				part := (c.FPR[i] + c.TPR[i] - from.FPR - from.TPR) / (to.FPR + to.TPR - from.FPR - from.TPR)
				require.InDelta(t, c.FPR[i], from.FPR+part*(to.FPR-from.FPR), 1e-12)
				require.InDelta(t, c.TPR[i], from.TPR+part*(to.TPR-from.TPR), 1e-12)
			}
			for _, p := range roc[1:] {
				require.Contains(t, c.ROCThresholds, p.Threshold.Float())
			}
			// the trapezoids under the points left are the area
			area := 0.0
			for i := 1; i < len(roc); i++ {
				area += (roc[i].FPR - roc[i-1].FPR) * (roc[i].TPR + roc[i-1].TPR) / 2
			}
			auc, err := ROCAUC(c.Score, c.Label, c.Weight)
			require.NoError(t, err)
			require.InDelta(t, auc, area, 1e-12)

			pr, err := PRCurve(c.Score, c.Label, c.Weight, 1000)
			require.NoError(t, err)
			byThreshold := map[float64]int{}
			for i, p := range pr {
				byThreshold[p.Threshold] = i
			}
			matched := 0
			for i, at := range c.PRThresholds {
				k, there := byThreshold[at]
				if !there { // a score whose rows all weigh 0
					continue
				}
				matched++
				require.InDelta(t, c.Precision[i], pr[k].Precision, 1e-12)
				require.InDelta(t, c.Recall[i], pr[k].Recall, 1e-12)
			}
			require.Equal(t, len(pr), matched)
			require.Equal(t, 1.0, pr[len(pr)-1].Recall)

			gains, err := Gains(c.Score, c.Label, c.Weight, 10)
			require.NoError(t, err)
			for i, g := range gains {
				require.InDelta(t, c.Gains[i], g.Captured, 1e-12)
				require.InDelta(t, c.Gains[i]*10/float64(i+1), g.CumulativeLift, 1e-9)
				captured, threshold, err := CaptureAt(c.Score, c.Label, c.Weight, g.Share)
				require.NoError(t, err)
				require.Equal(t, [2]float64{g.Captured, g.Threshold}, [2]float64{captured, threshold})
			}
			require.Equal(t, 1.0, gains[9].Captured)
			if c.KS != nil {
				d, at, err := KS(c.Score, c.Label, nil)
				require.NoError(t, err)
				require.InDelta(t, *c.KS, d, 1e-12)
				hit, all := [2]float64{}, [2]float64{}
				for i, s := range c.Score {
					all[int(c.Label[i])]++
					if s >= at {
						hit[int(c.Label[i])]++
					}
				}
				require.InDelta(t, d, math.Abs(hit[1]/all[1]-hit[0]/all[0]), 1e-12)
			}
		})
	}
}

func TestGainsByHand(t *testing.T) {
	score := []float64{0.9, 0.8, 0.8, 0.4, 0.3, 0.2, 0.1, 0.05}
	label := []float64{1, 1, 0, 1, 0, 0, 0, 1}
	got, err := Gains(score, label, nil, 4)
	require.NoError(t, err)
	require.Equal(t, []GainBin{
		{Share: 0.25, Threshold: 0.8, Rate: 0.75, Lift: 1.5, Captured: 0.375, CumulativeLift: 1.5}, // the second place is half a positive
		{Share: 0.5, Threshold: 0.4, Rate: 0.75, Lift: 1.5, Captured: 0.75, CumulativeLift: 1.5},
		{Share: 0.75, Threshold: 0.2, Rate: 0, Lift: 0, Captured: 0.75, CumulativeLift: 1},
		{Share: 1, Threshold: 0.05, Rate: 0.5, Lift: 1, Captured: 1, CumulativeLift: 1},
	}, got)
	d, at, err := KS(score, label, nil)
	require.NoError(t, err)
	require.Equal(t, [2]float64{0.5, 0.4}, [2]float64{d, at})
	turned := make([]float64, len(score))
	for i, s := range score {
		turned[i] = -s
	}
	back, _, err := KS(turned, label, nil)
	require.NoError(t, err)
	require.Equal(t, d, back, "the distance has no sign")
	none, at, err := KS([]float64{3, 3}, []float64{0, 1}, nil)
	require.NoError(t, err)
	require.Equal(t, [2]float64{0, 3}, [2]float64{none, at})
	for text, f := range map[string]func() error{
		"0 parts":      func() error { _, err := Gains(score, label, nil, 0); return err },
		"share 0":      func() error { _, _, err := CaptureAt(score, label, nil, 0); return err },
		"share 1.1":    func() error { _, _, err := CaptureAt(score, label, nil, 1.1); return err },
		"single class": func() error { _, _, err := KS(score[:2], []float64{1, 1}, nil); return err },
		"2 scores":     func() error { _, err := Gains(score[:2], []float64{1}, nil, 1); return err },
		"no rows":      func() error { _, _, err := CaptureAt(nil, nil, nil, 1); return err },
	} {
		require.ErrorContains(t, f(), text)
	}
}

func TestCurvesAreThinned(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 62))
	const n = 5000
	score, label := make([]float64, n), make([]float64, n)
	for i := range n {
		score[i] = r.Float64()
		if r.Float64() < score[i] {
			label[i] = 1
		}
	}
	full, err := ROCCurve(score, label, nil, n+1)
	require.NoError(t, err)
	fullPR, err := PRCurve(score, label, nil, n)
	require.NoError(t, err)
	require.Len(t, fullPR, n)
	onROC, onPR := map[ROCPoint]bool{}, map[PRPoint]bool{}
	longest := 0.0
	for i, p := range full {
		onROC[p] = true
		if i > 0 {
			longest = max(longest, p.FPR+p.TPR-full[i-1].FPR-full[i-1].TPR)
		}
	}
	for _, p := range fullPR {
		onPR[p] = true
	}
	for _, limit := range []int{2, 3, 17, 200} {
		roc, err := ROCCurve(score, label, nil, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(roc), limit)
		require.Greater(t, len(roc), limit*8/10)
		require.Equal(t, full[0], roc[0])
		require.Equal(t, full[len(full)-1], roc[len(roc)-1])
		for i, p := range roc {
			require.True(t, onROC[p])
			if i > 0 {
				require.True(t, p.FPR >= roc[i-1].FPR && p.TPR >= roc[i-1].TPR && p != roc[i-1])
				require.Less(t, p.FPR+p.TPR-roc[i-1].FPR-roc[i-1].TPR, 2*2/float64(limit-1)+longest, "no gap is wider than two parts and a step")
			}
		}
		pr, err := PRCurve(score, label, nil, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(pr), limit)
		require.Equal(t, fullPR[0], pr[0])
		require.Equal(t, fullPR[n-1], pr[len(pr)-1])
		for _, p := range pr {
			require.True(t, onPR[p])
		}
	}
	flat := []float64{0, 2, 2, 2, 2}
	require.Equal(t, []int{0, 4}, thin(5, 3, func(i int) float64 { return flat[i] }), "the last point is not taken twice")
	require.Equal(t, []int{0, 1, 2, 3, 4}, thin(5, 5, func(i int) float64 { return flat[i] }))
	raw, err := json.Marshal(full[:2])
	require.NoError(t, err)
	require.NotContains(t, string(raw), "null")
	for text, f := range map[string]func() error{
		"curve of 1 points": func() error { _, err := ROCCurve(score, label, nil, 1); return err },
		"curve of 0 points": func() error { _, err := PRCurve(score, label, nil, 0); return err },
		"single class":      func() error { _, err := ROCCurve(score[:1], []float64{1}, nil, 9); return err },
		"hold a single":     func() error { _, err := PRCurve(score[:1], []float64{0}, nil, 9); return err },
	} {
		require.ErrorContains(t, f(), text)
	}
}
