package console

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strconv"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/console/chart"
)

const (
	comparedMost = 30 // runs on one page
	barsMost     = 4  // charts of bars where no metric is chosen
	axesMost     = 8  // of parallel coordinates
)

// figure is a chart with the words above it.
type figure struct {
	Caption, Note string
	SVG           template.HTML
}

// compareRow is one key with its value in each thing that is compared.
type compareRow struct {
	Key     string
	Values  []string
	Differs bool
}

// compareTable holds the rows of one kind.
type compareTable struct {
	Words   string
	Numbers bool
	Rows    []compareRow
	Same    int // rows left out because all values are equal
}

type compareView struct {
	frame
	Runs               []runRow
	Missing            []string
	Differences        bool // only rows that differ
	Tables             []compareTable
	Numeric            []string // what a scatter can be drawn of
	Metrics            []string
	Metric, X, Y, Over string
	Bars               []figure
	Scatter, History   *figure
	Parallel           *figure
	Faults             []string
}

// comparedRuns is a table with the runs that are its columns.
type comparedRuns struct {
	Table compareTable
	Runs  []runRow
}

// compared makes a table of the keys that any of n things has.
func compared(words string, n int, value func(i int) map[string]string, differences, numbers bool) compareTable {
	t := compareTable{Words: words, Numbers: numbers}
	values := make([]map[string]string, n)
	keys := map[string]bool{}
	for i := range n {
		values[i] = value(i)
		for k := range values[i] {
			keys[k] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		row := compareRow{Key: k}
		_, first := values[0][k]
		for i := range n {
			v, ok := values[i][k]
			row.Values = append(row.Values, v)
			row.Differs = row.Differs || ok != first || v != values[0][k]
		}
		if differences && !row.Differs {
			t.Same++
			continue
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func pairs(ps []events.Pair) map[string]string {
	out := make(map[string]string, len(ps))
	for _, p := range ps {
		out[p.Key] = p.Value
	}
	return out
}

func (p *site) compare(r *request) (view, error) {
	q := r.URL.Query()
	v := compareView{
		frame: r.frame, Differences: q.Get("only") == "differences", Metric: q.Get("metric"), X: q.Get("x"), Y: q.Get("y"), Over: q.Get("over"),
	}
	v.Title, v.Area = "Compare runs", "experiments"
	v.Crumbs = []link{{Words: "Experiments", Href: "/experiments"}}
	ids := slices.Compact(slices.Clone(q["run"]))
	if len(ids) > comparedMost {
		v.Faults = append(v.Faults, fmt.Sprintf("%d runs were chosen; the first %d are shown.", len(ids), comparedMost))
		ids = ids[:comparedMost]
	}
	for _, id := range ids {
		run, err := p.book.RunByID(r.Context(), id)
		if err != nil {
			v.Missing = append(v.Missing, cut(id, 60))
			continue
		}
		v.Runs = append(v.Runs, rowOf(run))
	}
	if len(v.Runs) == 0 {
		return view{template: "compare", data: v}, nil
	}
	if e, err := p.book.Experiment(r.Context(), v.Runs[0].ExperimentID); err == nil {
		v.Crumbs = append(v.Crumbs, link{Words: e.Name, Href: experimentPath(e.ID)})
	}
	v.tables()
	if err := v.charts(r.Context(), p); err != nil {
		return view{}, err
	}
	return view{template: "compare", data: v}, nil
}

func (v *compareView) tables() {
	n := len(v.Runs)
	v.Tables = []compareTable{
		compared("Parameters", n, func(i int) map[string]string { return pairs(v.Runs[i].Params) }, v.Differences, false),
		compared("Metrics", n, func(i int) map[string]string {
			out := map[string]string{}
			for _, m := range v.Runs[i].Metrics {
				out[m.Key] = number(m.Value)
			}
			return out
		}, v.Differences, true),
		compared("Tags", n, func(i int) map[string]string { return pairs(v.Runs[i].Tags) }, v.Differences, false),
	}
}

// value is a run's number in a column, for charts.
func (r runRow) value(c column) (float64, bool) {
	if c.Kind == kindMetric {
		return r.metric(c.Key)
	}
	v, err := strconv.ParseFloat(valueOf(r.Params, c.Key), 64)
	return v, err == nil
}

// charts draws what the settings ask for, and without any what is likely wanted: the commonest metrics, and the first param that varies
// against the first of them.
func (v *compareView) charts(ctx context.Context, p *site) error {
	var params, metrics []column
	for _, c := range columnsOf(v.Runs, nil) {
		numbers := map[float64]bool{}
		for _, r := range v.Runs {
			if n, ok := r.value(c); ok && chart.Drawable(n) {
				numbers[n] = true
			}
		}
		switch {
		case c.Kind == kindMetric && len(numbers) > 0:
			metrics = append(metrics, c)
			v.Metrics = append(v.Metrics, c.Key)
			v.Numeric = append(v.Numeric, c.ID())
		case c.Kind == kindParam && len(numbers) > 1:
			params = append(params, c)
			v.Numeric = append(v.Numeric, c.ID())
		}
	}
	slices.SortStableFunc(metrics, func(a, b column) int { return cmp.Compare(rankShown(b), rankShown(a)) })
	if len(metrics) == 0 {
		return nil
	}
	if !slices.Contains(v.Metrics, v.Metric) {
		v.Metric = v.stepped(metrics)
	}
	if err := v.bars(metrics); err != nil {
		return err
	}
	if err := v.scatter(params, metrics); err != nil {
		return err
	}
	if err := v.history(ctx, p); err != nil {
		return err
	}
	return v.parallel(append(params[:min(len(params), axesMost/2)], metrics...))
}

// stepped is the first metric that was logged over several steps, or the first of all.
func (v *compareView) stepped(metrics []column) string {
	for _, c := range metrics {
		for _, r := range v.Runs {
			if slices.ContainsFunc(r.Metrics, func(m events.MetricPoint) bool { return m.Key == c.Key && m.Step > 0 }) {
				return c.Key
			}
		}
	}
	return metrics[0].Key
}

func rankShown(c column) int {
	if c.Shown {
		return 1
	}
	return 0
}

func (v *compareView) names() []string {
	var out []string
	for _, r := range v.Runs {
		out = append(out, r.Words())
	}
	return out
}

func (v *compareView) bars(metrics []column) error {
	if len(v.Runs) < 2 {
		return nil
	}
	for _, c := range metrics[:min(len(metrics), barsMost)] {
		s := chart.Series{Name: c.Key}
		for _, r := range v.Runs {
			n, ok := r.metric(c.Key)
			if !ok {
				n = math.NaN()
			}
			s.Points = append(s.Points, chart.Point{Y: n, Title: r.Words() + ": " + number(n), Href: r.Href})
		}
		svg, err := chart.Chart{Title: c.Key + " of each run"}.Bars(v.names(), []chart.Series{s})
		if err != nil {
			return err
		}
		v.Bars = append(v.Bars, figure{Caption: c.Key, SVG: svg})
	}
	return nil
}

// scatter draws two numbers of each run against each other.
func (v *compareView) scatter(params, metrics []column) error {
	x, okX := parseColumn(v.X)
	y, okY := parseColumn(v.Y)
	if !okX || !slices.Contains(v.Numeric, v.X) {
		x = metrics[0]
		if len(params) > 0 {
			x = params[0]
		} else if len(metrics) > 1 {
			x = metrics[1]
		}
	}
	if !okY || !slices.Contains(v.Numeric, v.Y) {
		y = metrics[0]
	}
	v.X, v.Y = x.ID(), y.ID()
	var s chart.Series
	for _, r := range v.Runs {
		a, hasX := r.value(x)
		b, hasY := r.value(y)
		if hasX && hasY {
			s.Points = append(s.Points, chart.Point{X: a, Y: b, Href: r.Href, Title: fmt.Sprintf("%s: %s %s, %s %s", r.Words(), x.Key, number(a), y.Key, number(b))})
		}
	}
	if len(s.Points) < 2 {
		return nil
	}
	svg, err := chart.Chart{Title: y.Key + " against " + x.Key, X: x.Key, Y: y.Key}.Scatter([]chart.Series{s})
	v.Scatter = &figure{Caption: y.Key + " against " + x.Key, SVG: svg}
	return err
}

// history draws one metric of all runs over the steps, or over the time since its first point.
func (v *compareView) history(ctx context.Context, p *site) error {
	if v.Stale != "" {
		v.Faults = append(v.Faults, fmt.Sprintf("The history of %s can't be read at the moment.", v.Metric))
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pageRefresh)
	defer cancel()
	var series []chart.Series
	longest := 0
	for _, r := range v.Runs {
		if _, ok := r.metric(v.Metric); !ok {
			continue
		}
		points, err := p.book.MetricHistory(ctx, r.ID, v.Metric)
		if err != nil {
			v.Faults = append(v.Faults, fmt.Sprintf("The history of %s can't be read at the moment: %s", v.Metric, err))
			return nil
		}
		longest = max(longest, len(points))
		series = append(series, historySeries(r.Words(), points, v.Over == "time"))
	}
	if longest < 2 {
		return nil
	}
	c := chart.Chart{Title: "history of " + v.Metric, X: overWords(v.Over), Whole: v.Over != "time"}
	svg, err := c.Lines(series, nil)
	v.History = &figure{Caption: "History of " + v.Metric, SVG: svg}
	return err
}

func overWords(over string) string {
	if over == "time" {
		return "seconds since the first point"
	}
	return "step"
}

// historySeries orders the points of a metric by step or by time.
func historySeries(name string, points []events.MetricPoint, overTime bool) chart.Series {
	points = slices.Clone(points)
	slices.SortStableFunc(points, func(a, b events.MetricPoint) int {
		if overTime {
			return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.Step, b.Step))
		}
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Timestamp, b.Timestamp))
	})
	s := chart.Series{Name: name}
	for _, m := range points {
		x := float64(m.Step)
		if overTime {
			x = (float64(m.Timestamp) - float64(points[0].Timestamp)) / 1e3
		}
		s.Points = append(s.Points, chart.Point{X: x, Y: float64(m.Value), Title: fmt.Sprintf("%s: step %d, %s", name, m.Step, number(m.Value))})
	}
	return s
}

func (v *compareView) parallel(columns []column) error {
	columns = columns[:min(len(columns), axesMost)]
	if len(v.Runs) < 2 || len(columns) < 2 {
		return nil
	}
	var axes []chart.Axis
	for _, c := range columns {
		a := chart.Axis{Name: c.Key}
		for _, r := range v.Runs {
			n, ok := r.value(c)
			if !ok {
				n = math.NaN()
			}
			a.Values = append(a.Values, n)
		}
		axes = append(axes, a)
	}
	var hrefs []string
	for _, r := range v.Runs {
		hrefs = append(hrefs, r.Href)
	}
	svg, err := chart.Chart{Title: "parameters and metrics of each run"}.Parallel(axes, v.names(), hrefs)
	v.Parallel = &figure{Caption: "Parallel coordinates", Note: "each axis from its least to its greatest value", SVG: svg}
	return err
}
