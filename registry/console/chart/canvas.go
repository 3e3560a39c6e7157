package chart

import (
	"fmt"
	"html"
	"image"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ink is a colour that the page decides: the name of a CSS class that sets the property color.
type ink string

// RGBA implements [color.Color]; nothing asks it of an ink.
func (ink) RGBA() (r, g, b, a uint32) { return 0, 0, 0, 0xffff }

// The inks beside those of series.
const (
	inkText  ink = "ct" // axes and words
	inkGrid  ink = "cg"
	inkBound ink = "cb" // thresholds
)

// seriesInks is how many colours there are for series; more series go round, with other dashes and marks.
const seriesInks = 6

func inkOf(series int) ink { return ink("c" + strconv.Itoa(series%seriesInks)) }

// affine is the map (x, y) -> (a x + c y + e, b x + d y + f).
type affine struct{ a, b, c, d, e, f float64 }

func (m affine) apply(p vg.Point) (x, y float64) {
	px, py := float64(p.X), float64(p.Y)
	return m.a*px + m.c*py + m.e, m.b*px + m.d*py + m.f
}

// after returns the map that applies n first.
func (m affine) after(n affine) affine {
	return affine{
		m.a*n.a + m.c*n.b, m.b*n.a + m.d*n.b, m.a*n.c + m.c*n.d, m.b*n.c + m.d*n.d,
		m.a*n.e + m.c*n.f + m.e, m.b*n.e + m.d*n.f + m.f,
	}
}

type state struct {
	ink    ink
	width  vg.Length
	dashes []vg.Length
	at     affine
}

// canvas writes SVG whose colours are classes and whose styles are attributes, so that a page can show it in light and dark under a policy
// that forbids inline styles. It implements [vg.CanvasSizer]; the origin is at the bottom left.
type canvas struct {
	out    strings.Builder
	w, h   vg.Length
	now    state
	states []state
}

var _ vg.CanvasSizer = (*canvas)(nil)

func newCanvas(w, h vg.Length) *canvas {
	return &canvas{w: w, h: h, now: state{ink: inkText, width: 1, at: affine{a: 1, d: 1}}}
}

// Size implements [vg.CanvasSizer].
func (c *canvas) Size() (x, y vg.Length) { return c.w, c.h }

// SetLineWidth implements [vg.Canvas].
func (c *canvas) SetLineWidth(w vg.Length) { c.now.width = w }

// SetLineDash implements [vg.Canvas]. Every pattern here begins at its start.
func (c *canvas) SetLineDash(pattern []vg.Length, _ vg.Length) { c.now.dashes = pattern }

// SetColor implements [vg.Canvas]. What is no ink is drawn as words are.
func (c *canvas) SetColor(v color.Color) {
	if i, ok := v.(ink); ok {
		c.now.ink = i
		return
	}
	c.now.ink = inkText
}

// Rotate implements [vg.Canvas].
func (c *canvas) Rotate(rad float64) {
	sin, cos := math.Sincos(rad)
	c.now.at = c.now.at.after(affine{a: cos, b: sin, c: -sin, d: cos})
}

// Translate implements [vg.Canvas].
func (c *canvas) Translate(p vg.Point) {
	c.now.at = c.now.at.after(affine{a: 1, d: 1, e: float64(p.X), f: float64(p.Y)})
}

// Scale implements [vg.Canvas].
func (c *canvas) Scale(x, y float64) { c.now.at = c.now.at.after(affine{a: x, d: y}) }

// Push implements [vg.Canvas].
func (c *canvas) Push() { c.states = append(c.states, c.now) }

// Pop implements [vg.Canvas].
func (c *canvas) Pop() {
	c.now, c.states = c.states[len(c.states)-1], c.states[:len(c.states)-1]
}

// Stroke implements [vg.Canvas].
func (c *canvas) Stroke(p vg.Path) {
	if c.now.width <= 0 {
		return
	}
	fmt.Fprintf(&c.out, `<path class="%s" d="%s" fill="none" stroke="currentColor" stroke-width="%s"`, c.now.ink, c.path(p), num(float64(c.now.width)))
	if len(c.now.dashes) > 0 {
		lengths := make([]string, len(c.now.dashes))
		for i, l := range c.now.dashes {
			lengths[i] = num(float64(l))
		}
		fmt.Fprintf(&c.out, ` stroke-dasharray="%s"`, strings.Join(lengths, " "))
	}
	c.out.WriteString("/>\n")
}

// Fill implements [vg.Canvas].
func (c *canvas) Fill(p vg.Path) {
	fmt.Fprintf(&c.out, `<path class="%s" d="%s" fill="currentColor"/>`+"\n", c.now.ink, c.path(p))
}

// titled draws what draw draws with a text that a browser shows over it, within a link if href is not empty.
func (c *canvas) titled(title, href string, draw func()) {
	end := "</g>\n"
	if href != "" {
		fmt.Fprintf(&c.out, `<a href="%s">`, html.EscapeString(clean(href)))
		end = "</g></a>\n"
	}
	fmt.Fprintf(&c.out, `<g><title>%s</title>`, html.EscapeString(clean(title)))
	draw()
	c.out.WriteString(end)
}

// FillString implements [vg.Canvas].
func (c *canvas) FillString(f font.Face, at vg.Point, text string) {
	x, y := c.point(at)
	fmt.Fprintf(&c.out, `<text class="%s" x="%s" y="%s" font-size="%s" fill="currentColor"`, c.now.ink, num(x), num(y), num(f.Font.Size.Points()))
	if m := c.now.at; m.b != 0 {
		fmt.Fprintf(&c.out, ` transform="rotate(%s %s %s)"`, num(-math.Atan2(m.b, m.a)*180/math.Pi), num(x), num(y))
	}
	// The browser's font is not the one that the text was measured in.
	fmt.Fprintf(&c.out, ` textLength="%s" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n", num(float64(f.Width(text))), html.EscapeString(text))
}

// DrawImage implements [vg.Canvas]. No chart has an image.
func (c *canvas) DrawImage(vg.Rectangle, image.Image) {}

// point maps a point to SVG, whose y grows downwards.
func (c *canvas) point(p vg.Point) (x, y float64) {
	x, y = c.now.at.apply(p)
	return x, float64(c.h) - y
}

func (c *canvas) path(p vg.Path) string {
	var d strings.Builder
	at := func(letter string, points ...vg.Point) {
		d.WriteString(letter)
		for i, q := range points {
			if i > 0 {
				d.WriteByte(' ')
			}
			x, y := c.point(q)
			d.WriteString(num(x) + " " + num(y))
		}
	}
	for _, comp := range p {
		switch comp.Type {
		case vg.MoveComp:
			at("M", comp.Pos)
		case vg.LineComp:
			at("L", comp.Pos)
		case vg.CurveComp:
			if len(comp.Control) == 1 {
				at("Q", comp.Control[0], comp.Pos)
			} else {
				at("C", comp.Control[0], comp.Control[1], comp.Pos)
			}
		case vg.ArcComp:
			c.arc(&d, at, comp)
		case vg.CloseComp:
			d.WriteByte('Z')
		}
	}
	return d.String()
}

// arc draws a whole circle as two halves, and a part of one as straight steps of at most an eighth of a right angle: marks are small.
func (c *canvas) arc(d *strings.Builder, at func(string, ...vg.Point), comp vg.PathComp) {
	letter := "M"
	if d.Len() > 0 {
		letter = "L"
	}
	if math.Abs(comp.Angle) >= 2*math.Pi {
		r := num(float64(comp.Radius))
		at(letter, comp.Pos.Add(vg.Point{X: comp.Radius}))
		for _, side := range []vg.Length{-1, 1} {
			x, y := c.point(comp.Pos.Add(vg.Point{X: side * comp.Radius}))
			fmt.Fprintf(d, "A%s %s 0 0 0 %s %s", r, r, num(x), num(y))
		}
		return
	}
	steps := max(int(math.Ceil(math.Abs(comp.Angle)/(math.Pi/16))), 1)
	for i := range steps + 1 {
		sin, cos := math.Sincos(comp.Start + comp.Angle*float64(i)/float64(steps))
		at(letter, comp.Pos.Add(vg.Point{X: comp.Radius * vg.Length(cos), Y: comp.Radius * vg.Length(sin)}))
		letter = "L"
	}
}

// num writes a length with at most two decimals.
func num(v float64) string {
	v = math.Round(v*100) / 100
	if v == 0 { // and not -0
		return "0"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// clean returns text without what XML can't hold or a reader can't see.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff || r == 0xfffd:
			return ' '
		}
		return r
	}, text)
}

// short cuts text for an axis or a legend.
func short(text string, most int) string {
	runes := []rune(clean(text))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most-1]) + "…"
}

// under returns the canvas below the parts of it that plot hands out.
func under(c draw.Canvas) *canvas {
	for {
		switch inner := c.Canvas.(type) {
		case *canvas:
			return inner
		case draw.Canvas:
			c = inner
		default:
			panic(fmt.Sprintf("chart: a plot was drawn on %T", inner))
		}
	}
}
