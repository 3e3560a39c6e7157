package chart

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// shapes tell series of points apart, dashes series of lines.
var (
	shapes = []draw.GlyphDrawer{
		draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{},
	}
	dashes = [][]vg.Length{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}, {1, 3}, {10, 4}}
)

const (
	// pointsShown is the number of points of a line that are marked; a longer one is a line alone.
	pointsShown = 60
	// lineParts is the number of parts that a long line is cut into, of each of which the least and the greatest value are kept.
	lineParts = 250
	markSize  = 3
	// linesNamed is the number of lines of parallel coordinates that a legend has room for; of more the marks' titles tell.
	linesNamed = 6
)

// Lines draws each series as a line in the order of its points, with bounds across. A series of more than 1,000 points is shown by the
// least and greatest of each of 250 parts.
func (c Chart) Lines(series []Series, bounds []Bound) (template.HTML, error) {
	p := c.plot()
	grid(p)
	for i, s := range series {
		points := thin(drawable(s.Points))
		if len(points) == 0 {
			continue
		}
		l := &polyline{points: points, ink: inkOf(i), dashes: dashes[i%len(dashes)], shape: shapes[i%len(shapes)]}
		p.Add(l)
		if len(series) > 1 {
			p.Legend.Add(short(s.Name, nameShown), l)
		}
	}
	headroom(p, len(series))
	return c.finish(p, bounds, Height)
}

// headroom leaves the legend a place above the values.
func headroom(p *plot.Plot, series int) {
	if series > 1 && p.Y.Max > p.Y.Min {
		p.Y.Max += (p.Y.Max - p.Y.Min) * min(0.09*float64(series), 0.6)
	}
}

// Scatter draws points.
func (c Chart) Scatter(series []Series) (template.HTML, error) {
	p := c.plot()
	grid(p)
	for i, s := range series {
		points := drawable(s.Points)
		l := &polyline{points: points, ink: inkOf(i), shape: shapes[i%len(shapes)], loose: true}
		p.Add(l)
		if len(series) > 1 && len(points) > 0 {
			p.Legend.Add(short(s.Name, nameShown), l)
		}
	}
	headroom(p, len(series))
	for _, a := range []*plot.Axis{&p.X, &p.Y} { // no point stands on the edge
		if Drawable(a.Min) && Drawable(a.Max) {
			pad := (a.Max/20 - a.Min/20)
			a.Min, a.Max = a.Min-pad, a.Max+pad
		}
	}
	return c.finish(p, nil, Height)
}

func drawable(points []Point) []Point {
	var out []Point
	for _, q := range points {
		if Drawable(q.X) && Drawable(q.Y) {
			out = append(out, q)
		}
	}
	return out
}

// thin keeps the least and the greatest of each part of a long line, in their order.
func thin(points []Point) []Point {
	if len(points) <= 4*lineParts {
		return points
	}
	out := make([]Point, 0, 2*lineParts+2)
	for i := range lineParts {
		part := points[i*len(points)/lineParts : (i+1)*len(points)/lineParts]
		low, high := 0, 0
		for k, q := range part {
			if q.Y < part[low].Y {
				low = k
			}
			if q.Y > part[high].Y {
				high = k
			}
		}
		out = append(out, part[min(low, high)])
		if low != high {
			out = append(out, part[max(low, high)])
		}
	}
	return out
}

// polyline is a [plot.Plotter] of points, joined by a line or loose.
type polyline struct {
	points []Point
	ink    ink
	dashes []vg.Length
	shape  draw.GlyphDrawer
	loose  bool
}

func (l *polyline) line() draw.LineStyle {
	return draw.LineStyle{Color: l.ink, Width: 1.6, Dashes: l.dashes}
}

func (l *polyline) mark() draw.GlyphStyle {
	return draw.GlyphStyle{Color: l.ink, Radius: markSize, Shape: l.shape}
}

// Plot implements [plot.Plotter].
func (l *polyline) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	at := make([]vg.Point, len(l.points))
	for i, q := range l.points {
		at[i] = vg.Point{X: trX(q.X), Y: trY(q.Y)}
	}
	if !l.loose && len(at) > 1 {
		c.StrokeLines(l.line(), at)
	}
	if !l.loose && len(at) > pointsShown {
		return
	}
	svg := under(c)
	for i, q := range l.points {
		svg.titled(q.Title, q.Href, func() { c.DrawGlyph(l.mark(), at[i]) })
	}
}

// Thumbnail implements [plot.Thumbnailer].
func (l *polyline) Thumbnail(c *draw.Canvas) {
	y := c.Center().Y
	if !l.loose {
		c.StrokeLine2(l.line(), c.Min.X, y, c.Max.X, y)
	}
	c.DrawGlyph(l.mark(), vg.Point{X: c.Center().X, Y: y})
}

// DataRange implements [plot.DataRanger].
func (l *polyline) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, ymin, xmax, ymax = math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, q := range l.points {
		xmin, xmax, ymin, ymax = min(xmin, q.X), max(xmax, q.X), min(ymin, q.Y), max(ymax, q.Y)
	}
	return xmin, xmax, ymin, ymax
}

// Bars draws a group of bars for each name, one bar of each series; values beyond the names are left out, and so are values that can't be
// drawn. Bars of a few names stand, of many they lie below each other, so that the names stay readable.
func (c Chart) Bars(names []string, series []Series) (template.HTML, error) {
	p := c.plot()
	lying := len(names) > 6 && len(series) == 1 || len(names) > 14
	b := &bars{names: names, series: series, lying: lying}
	grid(p)
	p.Add(b)
	if len(series) > 1 {
		for i, s := range series {
			p.Legend.Add(short(s.Name, nameShown), barThumb(inkOf(i)))
		}
	}
	shown := make([]string, len(names))
	most := 14
	if lying {
		most = 24
	}
	for i, n := range names {
		shown[i] = short(n, most)
	}
	height := vg.Length(Height)
	if lying {
		p.X.Label.Text, p.Y.Label.Text = p.Y.Label.Text, p.X.Label.Text
		slices.Reverse(shown) // the first one stands on top
		p.NominalY(shown...)
		p.Y.Min, p.Y.Max = -0.6, float64(len(names))-0.4
		height = max(vg.Length(60+14*len(names)*len(series)), 120)
		return c.finish(p, nil, height)
	}
	p.NominalX(shown...)
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	headroom(p, len(series))
	return c.finish(p, nil, height)
}

type bars struct {
	names  []string
	series []Series
	lying  bool
}

// place returns the low and the high edge of the bar of a series in its group.
func (b *bars) place(group, series int) (low, high float64) {
	width := 0.8 / float64(len(b.series))
	low = float64(group) - 0.4 + width*float64(series)
	if b.lying { // the first one on top
		low = float64(len(b.names)-1-group) + 0.4 - width*float64(series+1)
	}
	return low, low + width*0.92
}

// Plot implements [plot.Plotter].
func (b *bars) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	svg := under(c)
	for si, s := range b.series {
		for i, q := range s.Points {
			if i >= len(b.names) || !Drawable(q.Y) {
				continue
			}
			low, high := b.place(i, si)
			box := vg.Rectangle{Min: vg.Point{X: trX(low), Y: trY(0)}, Max: vg.Point{X: trX(high), Y: trY(q.Y)}}
			if b.lying {
				box = vg.Rectangle{Min: vg.Point{X: trX(0), Y: trY(low)}, Max: vg.Point{X: trX(q.Y), Y: trY(high)}}
			}
			title := q.Title
			if title == "" {
				title = fmt.Sprintf("%s: %s", b.names[i], strconv.FormatFloat(q.Y, 'g', 6, 64))
			}
			svg.titled(title, q.Href, func() {
				c.SetColor(inkOf(si))
				c.Fill(box.Path())
				if si%2 == 1 { // the second of two is framed
					c.SetLineStyle(draw.LineStyle{Color: inkText, Width: 0.8, Dashes: []vg.Length{2, 1}})
					c.Stroke(box.Path())
				}
			})
		}
	}
}

// DataRange implements [plot.DataRanger].
func (b *bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, s := range b.series {
		for _, q := range s.Points {
			if Drawable(q.Y) {
				ymin, ymax = min(ymin, q.Y), max(ymax, q.Y)
			}
		}
	}
	if b.lying {
		return ymin, ymax, 0, float64(len(b.names) - 1)
	}
	return 0, float64(len(b.names) - 1), ymin, ymax
}

// barThumb is the legend's sample of a bar.
type barThumb ink

// Thumbnail implements [plot.Thumbnailer].
func (b barThumb) Thumbnail(c *draw.Canvas) {
	box := vg.Rectangle{Min: vg.Point{X: c.Min.X + 5, Y: c.Min.Y + 2}, Max: vg.Point{X: c.Max.X - 3, Y: c.Max.Y - 2}}
	c.SetColor(ink(b))
	c.Fill(box.Path())
	if b == barThumb(inkOf(1)) {
		c.SetLineStyle(draw.LineStyle{Color: inkText, Width: 0.8, Dashes: []vg.Length{2, 1}})
		c.Stroke(box.Path())
	}
}

// Axis is one axis of parallel coordinates: a value of each of the things compared, in the order of all axes. NaN leaves a gap.
type Axis struct {
	Name   string
	Values []float64
}

// Parallel draws each thing as a line over the axes, every axis from its least to its greatest value. titles name the things.
func (c Chart) Parallel(axes []Axis, titles, hrefs []string) (template.HTML, error) {
	p := c.plot()
	labels := make([]string, len(axes))
	lines := make([]*polyline, len(titles))
	for i := range lines {
		lines[i] = &polyline{ink: inkOf(i), dashes: dashes[i%len(dashes)], shape: shapes[i%len(shapes)]}
	}
	for k, a := range axes {
		low, high := math.Inf(1), math.Inf(-1)
		for _, v := range a.Values {
			if Drawable(v) {
				low, high = min(low, v), max(high, v)
			}
		}
		labels[k] = short(a.Name, 16) + "\n" + span(low, high)
		for i, v := range a.Values {
			if i >= len(lines) || !Drawable(v) {
				continue
			}
			y := 0.5
			if high > low {
				y = v/(high-low) - low/(high-low)
			}
			title := fmt.Sprintf("%s: %s %s", titles[i], a.Name, strconv.FormatFloat(v, 'g', 6, 64))
			lines[i].points = append(lines[i].points, Point{X: float64(k), Y: y, Title: title, Href: hrefs[i]})
		}
	}
	for i, l := range lines {
		if len(l.points) > 0 {
			p.Add(l)
			if len(lines) <= linesNamed {
				p.Legend.Add(short(titles[i], nameShown), l)
			}
		}
	}
	p.NominalX(labels...)
	p.HideY()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, float64(len(axes))-0.5, -0.05, 1.05
	if len(lines) <= linesNamed {
		p.Y.Max += 0.09 * float64(len(lines))
	}
	return c.finish(p, nil, Height)
}

func span(low, high float64) string {
	if low > high {
		return "–"
	}
	return strconv.FormatFloat(low, 'g', 3, 64) + " – " + strconv.FormatFloat(high, 'g', 3, 64)
}
