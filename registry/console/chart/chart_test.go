package chart

import (
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sound checks that a chart is one well-formed element without styles of its own.
func sound(t *testing.T, svg template.HTML, err error) {
	t.Helper()
	require.NoError(t, err)
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, "%s", svg)
		if e, ok := tok.(xml.StartElement); ok {
			require.Contains(t, []string{"svg", "path", "text", "g", "title", "a"}, e.Name.Local)
			for _, a := range e.Attr {
				require.NotContains(t, []string{"style", "onload", "onclick"}, a.Name.Local, "a policy forbids it")
				require.NotContains(t, a.Value, "NaN")
				require.NotContains(t, a.Value, "Inf")
			}
		}
	}
}

func series(n int, f func(i int) float64) Series {
	s := Series{Name: fmt.Sprint("series of ", n)}
	for i := range n {
		s.Points = append(s.Points, Point{X: float64(i), Y: f(i), Title: fmt.Sprint(i)})
	}
	return s
}

func TestChartsShowWhatTheyAreGiven(t *testing.T) {
	two := []Series{series(5, root), series(4, func(i int) float64 { return float64(-i) })}
	svg, err := Chart{Title: "loss", X: "step", Y: "loss"}.Lines(two, []Bound{{Name: "alert above 0.2", Value: 0.2}})
	sound(t, svg, err)
	for _, want := range []string{`aria-label="loss"`, "alert above 0.2", `class="c0"`, `class="c1"`, `class="cb"`, "stroke-dasharray", "<title>3</title>"} {
		require.Contains(t, string(svg), want)
	}
	svg, err = Chart{Title: "runs"}.Scatter(two)
	sound(t, svg, err)
	require.Equal(t, 9, strings.Count(string(svg), "<title>"))
	svg, err = Chart{Title: "bins"}.Bars([]string{"a", "b", "c"}, two)
	sound(t, svg, err)
	require.Equal(t, 6, strings.Count(string(svg), "<title>"), "three bars of two series")
	svg, err = Chart{Title: "axes"}.Parallel(
		[]Axis{{"depth", []float64{1, 2, math.NaN()}}, {"auc", []float64{0.5, 0.9, 0.7}}, {"same", []float64{3, 3, 3}}},
		[]string{"a", "b", "c"}, []string{"/a", "/b", "/c"})
	sound(t, svg, err)
	require.Equal(t, 8, strings.Count(string(svg), "<title>"), "a gap where there is no value")
	require.Contains(t, string(svg), "0.5 – 0.9")
}

func TestHostileNamesStayText(t *testing.T) {
	evil := `</title><script>alert(1)</script>"'` + "\x00\x1b\ufffe漢字"
	s := []Series{{Name: evil, Points: []Point{{X: 1, Y: 1, Title: evil, Href: `/"><script>`}}}, {Name: evil}}
	c := Chart{Title: evil, X: evil, Y: evil}
	for name, draw := range map[string]func() (template.HTML, error){
		"lines":   func() (template.HTML, error) { return c.Lines(s, []Bound{{Name: evil, Value: 2}}) },
		"scatter": func() (template.HTML, error) { return c.Scatter(s) },
		"bars":    func() (template.HTML, error) { return c.Bars([]string{evil}, s) },
		"parallel": func() (template.HTML, error) {
			return c.Parallel([]Axis{{evil, []float64{1}}}, []string{evil}, []string{evil})
		},
	} {
		t.Run(name, func(t *testing.T) {
			svg, err := draw()
			sound(t, svg, err)
			require.NotContains(t, string(svg), "<script")
		})
	}
}

func TestLongLinesKeepTheirExtremes(t *testing.T) {
	long := series(100_000, func(i int) float64 {
		switch i {
		case 31_415:
			return 9
		case 71_828:
			return -9
		}
		return math.Sin(float64(i))
	})
	points := thin(long.Points)
	require.LessOrEqual(t, len(points), 2*lineParts)
	require.Contains(t, points, long.Points[31_415])
	require.Contains(t, points, long.Points[71_828])
	for i := range points[1:] {
		require.Less(t, points[i].X, points[i+1].X)
	}
	short := series(4*lineParts, root)
	require.Equal(t, short.Points, thin(short.Points), "what is short is whole")
}

func TestTimesAreReadable(t *testing.T) {
	for span, want := range map[float64]string{60e3: "00:00:15", 8 * 3600e3: "02:00", 40 * 86400e3: "Jan 11", 4 * 365 * 86400e3: "1971-01-01"} {
		ticks := timeTicks{}.Ticks(0, span)
		require.Equal(t, want, ticks[1].Label)
	}
}

func TestTicksTellValuesApart(t *testing.T) {
	for _, r := range [][2]float64{{0, 59}, {0.4, 0.7}, {1e9, 1e9 + 5}, {-3, 3}} {
		seen := map[string]bool{}
		for _, tick := range (numberTicks{}).Ticks(r[0], r[1]) {
			if tick.Label != "" {
				require.False(t, seen[tick.Label], "%v: %s twice", r, tick.Label)
				require.LessOrEqual(t, len(tick.Label), 11)
				seen[tick.Label] = true
			}
		}
		require.GreaterOrEqual(t, len(seen), 2)
	}
}

func TestAnAxisOfTimeIsNeverWiderThanItsPoints(t *testing.T) {
	at := float64(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	svg, err := Chart{Time: true}.Lines([]Series{{Points: []Point{{X: at, Y: 1}, {X: at + 700, Y: 2}}}}, nil)
	sound(t, svg, err)
	require.Contains(t, string(svg), "12:00:0")
	require.NotContains(t, string(svg), "2026-")
	for _, tick := range (numberTicks{whole: true}).Ticks(1, 2) {
		require.Equal(t, math.Trunc(tick.Value), tick.Value)
	}
}

func FuzzCharts(f *testing.F) {
	f.Add(0.0, 1.0, 2.0, 3.0)
	f.Add(math.NaN(), math.Inf(1), math.Inf(-1), 0.0)
	f.Add(1e300, -1e300, 1e-300, -1e-300)
	f.Add(1e16, 1e16+2, 1e16+4, 1e16)
	f.Add(math.MaxFloat64, 5e-324, 0.1, 0.1)
	f.Add(1e12, 1e12+1e-3, 1.0, 1+1e-15)
	f.Fuzz(func(t *testing.T, a, b, c, d float64) {
		s := []Series{{Name: "x", Points: []Point{{X: a, Y: b}, {X: c, Y: d}}}, {Name: "y", Points: []Point{{X: d, Y: a}}}}
		for _, ch := range []Chart{{}, {Time: true, FromZero: true}} {
			svg, err := ch.Lines(s, []Bound{{"b", c}})
			sound(t, svg, err)
			svg, err = ch.Scatter(s)
			sound(t, svg, err)
			svg, err = ch.Bars([]string{"m", "n"}, s)
			sound(t, svg, err)
			svg, err = ch.Parallel([]Axis{{"p", []float64{a, b}}, {"q", []float64{c, d}}}, []string{"1", "2"}, []string{"", ""})
			sound(t, svg, err)
		}
	})
}

func root(i int) float64 { return math.Sqrt(float64(i)) }
