package report

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"telco-churn-mlops/model/eval"
)

const (
	width, height = 6 * vg.Inch, 4.5 * vg.Inch
	margin        = vg.Length(6) // points
	lineWidth     = 1.5
	// barsShown is how many features a picture holds.
	barsShown = 20
)

// inks tell kinds of rows apart, also for most who see colours otherwise.
var inks = []color.Color{color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}, color.RGBA{R: 0xd9, G: 0x6b, B: 0x0b, A: 0xff}}

var pale = color.RGBA{R: 0xaa, G: 0xaa, B: 0xaa, A: 0xff}

// newPlot returns an empty picture in a font without serifs.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	for _, style := range []*text.Style{
		&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle,
	} {
		style.Font.Variant = "Sans"
	}
	p.Title.Padding = vg.Points(6)
	p.Legend.Padding = vg.Points(3)
	return p
}

func encode(p *plot.Plot) ([]byte, error) {
	c := vgsvg.New(width, height)
	p.Draw(draw.Crop(draw.New(c), margin, -2*margin, margin, -margin))
	var out bytes.Buffer
	_, err := c.WriteTo(&out)
	return out.Bytes(), err
}

// line adds a line with its entry in the legend, none for an empty name.
func line(p *plot.Plot, name string, points plotter.XYs, ink color.Color, dashed bool) error {
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width = ink, vg.Points(lineWidth)
	if dashed {
		l.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	}
	p.Add(l)
	if name != "" {
		p.Legend.Add(name, l)
	}
	return nil
}

// words is how the legend calls rows.
func words(name string) string {
	if name == "out_of_fold" {
		return "out of fold"
	}
	return name
}

// withErrors are points with an interval in y.
type withErrors struct {
	plotter.XYs
	plotter.YErrors
}

// calibrationPlot draws the bins of drawn and names the errors of the tables.
func calibrationPlot(rows []Rows, tables, drawn map[string]eval.Calibration) ([]byte, error) {
	p := newPlot("Calibration", "mean score", "observed share")
	p.X.Min, p.Y.Min, p.Legend.Top, p.Legend.Left = 0, 0, true, true
	most := 0.0
	for i, set := range rows {
		var points withErrors
		for _, b := range drawn[set.Name].Bins {
			low, high := b.Observed, b.Observed
			if v, ok := b.Low.Value(); ok {
				low = v
			}
			if v, ok := b.High.Value(); ok {
				high = v
			}
			points.XYs = append(points.XYs, plotter.XY{X: b.Score, Y: b.Observed})
			points.YErrors = append(points.YErrors, struct{ Low, High float64 }{b.Observed - low, high - b.Observed})
			most = max(most, b.Score, high)
		}
		if len(points.XYs) == 0 {
			continue
		}
		ink := inks[i%len(inks)]
		bars, err := plotter.NewYErrorBars(points)
		if err != nil {
			return nil, err
		}
		bars.Color = ink
		p.Add(bars)
		name := fmt.Sprintf("%s, mean error %.3f", words(set.Name), tables[set.Name].ECE)
		if err := line(p, name, points.XYs, ink, false); err != nil {
			return nil, err
		}
	}
	p.X.Max, p.Y.Max = most, most
	if err := line(p, "", plotter.XYs{{}, {X: most, Y: most}}, pale, true); err != nil {
		return nil, err
	}
	return encode(p)
}

func liftPlot(rows []Rows, tables map[string][]eval.GainBin) ([]byte, error) {
	p := newPlot("Lift", "share of the rows, highest scores first", "lift over a random choice")
	p.X.Min, p.X.Max, p.Y.Min, p.Legend.Top = 0, 1, 0, true
	for i, set := range rows {
		var points plotter.XYs
		for _, b := range tables[set.Name] {
			points = append(points, plotter.XY{X: b.Share, Y: b.CumulativeLift})
		}
		if len(points) == 0 {
			continue
		}
		if err := line(p, words(set.Name), points, inks[i%len(inks)], false); err != nil {
			return nil, err
		}
	}
	if err := line(p, "", plotter.XYs{{X: 0, Y: 1}, {X: 1, Y: 1}}, pale, true); err != nil {
		return nil, err
	}
	return encode(p)
}

func rocPlot(rows []Rows, tables map[string]curves) ([]byte, error) {
	p := newPlot("ROC", "negatives predicted positive", "positives predicted positive")
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	for i, set := range rows {
		t, ok := tables[set.Name]
		if !ok {
			continue
		}
		points := make(plotter.XYs, len(t.ROC))
		for k, at := range t.ROC {
			points[k] = plotter.XY{X: at.FPR, Y: at.TPR}
		}
		name := fmt.Sprintf("%s, area %.3f", words(set.Name), t.AUC.AUC)
		if se, ok := t.AUC.SE.Value(); ok {
			name += fmt.Sprintf(" ± %.3f", se)
		}
		if err := line(p, name, points, inks[i%len(inks)], false); err != nil {
			return nil, err
		}
	}
	if err := line(p, "", plotter.XYs{{}, {X: 1, Y: 1}}, pale, true); err != nil {
		return nil, err
	}
	return encode(p)
}

func importancePlot(features []Feature) ([]byte, error) {
	p := newPlot("Importance", "loss in ROC-AUC on holdout rows when the values are shuffled", "")
	shown := slices.Clone(features)
	slices.SortStableFunc(shown, func(a, b Feature) int { return cmp.Compare(b.Permutation.Mean, a.Permutation.Mean) })
	shown = shown[:min(len(shown), barsShown)]
	slices.Reverse(shown) // the first stands on top
	values, names := make(plotter.Values, len(shown)), make([]string, len(shown))
	for i, f := range shown {
		values[i], names[i] = f.Permutation.Mean, f.Name
	}
	if len(shown) > 0 {
		bars, err := plotter.NewBarChart(values, vg.Points(9))
		if err != nil {
			return nil, err
		}
		bars.Horizontal, bars.Color, bars.LineStyle.Width = true, inks[0], 0
		p.Add(bars)
		p.NominalY(names...)
	}
	return encode(p)
}
