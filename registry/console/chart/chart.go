// Package chart draws small charts as SVG for a page: lines, bars, points and parallel coordinates. gonum.org/v1/plot lays them out; colours
// are CSS classes (c0 to c5 for series, ct, cg and cb for words, grid and bounds), so that one chart follows a page in light and dark. What
// tells series apart is never the colour alone: lines have dashes, points have shapes, and each carries its words as a title.
//
// Input may be anything that clients logged: what is not finite or beyond ±1e300 is left out, names are cut and escaped.
package chart

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	// Width and Height are the size of a chart in CSS pixels before the page scales it.
	Width, Height = 520, 260

	margin   = 4
	fontSize = 12
	// mostValue bounds what is drawn, so that a range never overflows.
	mostValue = 1e300
	nameShown = 36
	leastTime = 5000 // milliseconds
)

// Chart says what a chart is called. The zero value draws one without words.
type Chart struct {
	// Title is read to those who don't see the chart; the page shows its own.
	Title string
	// X and Y label the axes; empty leaves a label out.
	X, Y string
	// Time reads X as milliseconds since 1970 UTC.
	Time bool
	// Whole labels X at whole numbers alone, for steps and versions.
	Whole bool
	// FromZero makes the Y axis begin at zero where no value is below it.
	FromZero bool
}

// Point is one value of a series.
type Point struct {
	X, Y float64
	// Title is shown over the point and Href, if any, is where it leads.
	Title, Href string
}

// Series are points of one name. Its place among the series decides its colour, dashes and shape.
type Series struct {
	Name   string
	Points []Point
}

// Bound is a horizontal line with a name, for instance a threshold.
type Bound struct {
	Name  string
	Value float64
}

// Drawable reports whether a chart can show a value.
func Drawable(v float64) bool { return math.Abs(v) <= mostValue } // false for NaN

func (c Chart) plot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.X.Label.Text, p.Y.Label.Text = short(c.X, nameShown), short(c.Y, nameShown)
	for _, style := range []*text.Style{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant, style.Font.Size, style.Color = "Sans", fontSize, inkText
	}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = inkGrid, inkGrid
		axis.Tick.Length, axis.Label.Padding = 4, 3
	}
	p.Legend.Top, p.Legend.Padding, p.Legend.ThumbnailWidth = true, 3, 18
	p.X.Tick.Marker, p.Y.Tick.Marker = numberTicks{whole: c.Whole}, numberTicks{}
	if c.Time {
		p.X.Tick.Marker = timeTicks{}
	}
	return p
}

func grid(p *plot.Plot) {
	g := plotter.NewGrid()
	g.Vertical.Width, g.Horizontal.Color, g.Horizontal.Width = 0, inkGrid, 0.6
	p.Add(g)
}

// finish adds bounds, sets the ranges and writes the chart. height is in CSS pixels.
func (c Chart) finish(p *plot.Plot, bounds []Bound, height vg.Length) (svg template.HTML, err error) {
	defer func() {
		if r := recover(); r != nil { // the library panics on ranges that it can't divide
			err = fmt.Errorf("draw chart: %v", r)
		}
	}()
	for _, b := range bounds {
		if Drawable(b.Value) {
			p.Add(bound(b))
			p.Y.Min, p.Y.Max = min(p.Y.Min, b.Value), max(p.Y.Max, b.Value)
			if p.Y.Max == b.Value && p.Y.Min < b.Value { // its name stands above it
				p.Y.Max += b.Value/12 - p.Y.Min/12
			}
		}
	}
	if c.FromZero && p.Y.Min > 0 {
		p.Y.Min = 0
	}
	if c.Time && p.X.Max-p.X.Min < leastTime {
		p.X.Min, p.X.Max = p.X.Min-leastTime, p.X.Max+leastTime
	}
	widen(&p.X)
	widen(&p.Y)
	out := newCanvas(Width, height)
	p.Draw(draw.Crop(draw.New(out), margin, -3*margin, margin, -2*margin))
	return template.HTML(fmt.Sprintf( //nolint:gosec // every text in it was escaped by the canvas
		`<svg class="chart" viewBox="0 0 %d %s" role="img" aria-label="%s">`+"\n%s</svg>",
		Width, num(float64(height)), html.EscapeString(clean(c.Title)), out.out.String())), nil
}

// widen gives an axis a range that floats can divide.
func widen(a *plot.Axis) {
	if !Drawable(a.Min) || !Drawable(a.Max) { // nothing was added
		a.Min, a.Max = 0, 1
	}
	least := math.Max(math.Abs(a.Min), math.Abs(a.Max)) * 1e-12
	if span := a.Max - a.Min; span <= least || span < 1e-300 {
		pad := math.Max(math.Max(math.Abs(a.Min)*0.05, least), 1e-3)
		a.Min, a.Max = a.Min-pad, a.Max+pad
	}
}

// bound is a [plot.Plotter].
type bound Bound

// Plot implements [plot.Plotter].
func (b bound) Plot(c draw.Canvas, p *plot.Plot) {
	_, tr := p.Transforms(&c)
	y := tr(b.Value)
	c.StrokeLine2(draw.LineStyle{Color: inkBound, Width: 1.2, Dashes: []vg.Length{5, 3}}, c.Min.X, y, c.Max.X, y)
	style := p.Legend.TextStyle
	style.Color, style.YAlign = inkBound, 0.2
	c.FillText(style, vg.Point{X: c.Min.X + 3, Y: y + 3}, short(b.Name, nameShown))
}

// numberTicks are the library's with the shortest labels that tell them apart.
type numberTicks struct{ whole bool }

// Ticks implements [plot.Ticker].
func (n numberTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	if n.whole {
		ticks = slices.DeleteFunc(ticks, func(t plot.Tick) bool { return t.Value != math.Trunc(t.Value) })
	}
	for digits := 6; digits <= 17; digits++ {
		seen := map[string]bool{}
		labels := 0
		for i, t := range ticks {
			if t.Label != "" {
				ticks[i].Label = strconv.FormatFloat(t.Value, 'g', digits, 64)
				seen[ticks[i].Label] = true
				labels++
			}
		}
		if len(seen) == labels {
			break
		}
	}
	return ticks
}

// timeTicks writes times in UTC, as exact as the range needs.
type timeTicks struct{}

// Ticks implements [plot.Ticker].
func (timeTicks) Ticks(low, high float64) []plot.Tick {
	format := "2006-01-02"
	switch span := time.Duration(min(high-low, 1e12)) * time.Millisecond; {
	case span < 10*time.Minute:
		format = "15:04:05"
	case span < 36*time.Hour:
		format = "15:04"
	case span < 300*24*time.Hour:
		format = "Jan 2"
	}
	const parts = 4
	var out []plot.Tick
	for i := range parts + 1 {
		at := low + (high-low)*float64(i)/parts
		out = append(out, plot.Tick{Value: at, Label: time.UnixMilli(int64(at)).UTC().Format(format)})
	}
	return out
}
