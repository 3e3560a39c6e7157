package console

import (
	"context"
	"fmt"
	"slices"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/console/chart"
)

const (
	driftRead  = 600 // messages of DRIFT that a page looks through
	driftShown = 20  // evaluations in its table
)

func driftPath(model string) string { return "/drift" + modelPath(model)[len("/models"):] }

// driftRow is what the last evaluations of a model say, in one line.
type driftRow struct {
	Name, Href string
	Firing     []string
	Pending    []string
	Latest     *events.DriftEvaluated // of columns and score, nil for none
}

type driftsView struct {
	frame
	Models []driftRow
}

func (p *site) drifts(r *request) (view, error) {
	p.live(r)
	v := driftsView{frame: r.frame}
	v.Title, v.Area = "Drift", "drift"
	ctx, cancel := context.WithTimeout(r.Context(), pageRefresh)
	defer cancel()
	for _, m := range p.modelRows() {
		row := driftRow{Name: m.Name, Href: driftPath(m.Key)}
		if v.Stale != "" {
			v.Models = append(v.Models, row)
			continue
		}
		last, ok, err := p.s.Bus().LastValid(ctx, events.TypeDriftEvaluated, m.Key)
		if err != nil {
			v.Stale = err.Error()
		} else if e, is := last.Event.Payload.(*events.DriftEvaluated); ok && is {
			row.Latest = e
			for _, c := range e.Columns {
				switch c.State {
				case events.StateFiring:
					row.Firing = append(row.Firing, c.Column)
				case events.StatePending:
					row.Pending = append(row.Pending, c.Column)
				}
			}
		}
		v.Models = append(v.Models, row)
	}
	return view{template: "drifts", data: v}, nil
}

type driftView struct {
	frame
	Name    string
	Latest  []*events.DriftEvaluated // at most one of each kind
	History []*events.DriftEvaluated // of kind data, newest first
	Columns []string
	Charts  []figure // the statistic of each column over time
	Bins    []figure // reference and window of each column
}

func (p *site) drift(r *request) (view, error) {
	key, err := p.findModel(r.PathValue("model"))
	if err != nil {
		return view{}, err
	}
	v := driftView{frame: r.frame}
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		if m, ok := c.Model(key); ok {
			v.Name = m.Name
		}
	})
	v.Title, v.Area = "Drift of "+v.Name, "drift"
	v.Crumbs = []link{{Words: "Models", Href: "/models"}, {Words: v.Name, Href: modelPath(v.Name)}}
	ctx, cancel := context.WithTimeout(r.Context(), pageRefresh)
	defer cancel()
	if v.Stale == "" {
		evaluations, err := p.evaluations(ctx, key)
		if err != nil {
			v.Stale = err.Error()
		}
		if err := v.fill(evaluations); err != nil {
			return view{}, err
		}
	}
	return view{template: "drift", data: v}, nil
}

// evaluations returns the model's latest evaluations, oldest first.
func (p *site) evaluations(ctx context.Context, key string) ([]*events.DriftEvaluated, error) {
	subject, err := events.SubjectOf(events.TypeDriftEvaluated, key)
	if err != nil {
		return nil, err
	}
	last, ok, err := p.s.Bus().Last(ctx, events.TypeDriftEvaluated, key)
	if err != nil || !ok {
		return nil, err
	}
	var out []*events.DriftEvaluated
	from := uint64(1)
	if last.Sequence > driftRead {
		from = last.Sequence - driftRead
	}
	err = p.s.Bus().Read(ctx, bus.ReadConfig{Stream: events.Drift, Filters: []string{subject}, From: from, Through: last.Sequence},
		func(m bus.Message) error {
			if e, ok := m.Event.Payload.(*events.DriftEvaluated); ok && m.Err == nil {
				out = append(out, e)
			}
			return nil
		})
	return out, err
}

// fill makes the tables and charts of evaluations, which begin with the oldest.
func (v *driftView) fill(evaluations []*events.DriftEvaluated) error {
	seen := map[events.DriftKind]bool{}
	of := map[events.DriftKind][]*events.DriftEvaluated{}
	for _, e := range slices.Backward(evaluations) {
		if !seen[e.Kind] {
			seen[e.Kind] = true
			v.Latest = append(v.Latest, e)
		}
		if e.Kind == events.DriftData && len(v.History) < driftShown {
			v.History = append(v.History, e)
		}
	}
	for _, e := range evaluations {
		of[e.Kind] = append(of[e.Kind], e)
	}
	if len(v.History) > 0 {
		for _, c := range v.History[0].Columns {
			v.Columns = append(v.Columns, c.Column)
		}
	}
	for _, e := range v.Latest {
		for i := range e.Columns {
			if err := v.draw(&e.Columns[i], of[e.Kind]); err != nil {
				return err
			}
		}
	}
	return nil
}

// draw adds the charts of one column: the statistic over time with its thresholds, and the shares of its bins.
func (v *driftView) draw(c *events.ColumnEvaluation, evaluations []*events.DriftEvaluated) error {
	s := chart.Series{Name: c.Column}
	for _, e := range evaluations {
		if past := columnOf(e, c.Column); past != nil && !e.WindowTo.IsZero() && past.State != events.StateInsufficient {
			s.Points = append(s.Points, chart.Point{
				X: float64(e.WindowTo.UnixMilli()), Y: past.Value,
				Title: fmt.Sprintf("evaluation %d, version %d, %d rows: %s %s, %s", e.Evaluation, e.Version, e.Rows, past.Statistic, number(past.Value), past.State),
			})
		}
	}
	if len(s.Points) > 0 {
		bounds := []chart.Bound{{Name: "alert above " + number(c.Threshold), Value: c.Threshold}}
		if c.Bound > 0 && c.Bound > c.Threshold {
			bounds = append(bounds, chart.Bound{Name: "bound of chance " + number(c.Bound), Value: c.Bound})
		}
		svg, err := chart.Chart{Title: c.Statistic + " of " + c.Column + " over time", Time: true, FromZero: true}.Lines([]chart.Series{s}, bounds)
		if err != nil {
			return err
		}
		v.Charts = append(v.Charts, figure{Caption: c.Column, Note: fmt.Sprintf("%s over time, now %s (%s)", c.Statistic, number(c.Value), stateWords(c.State)), SVG: svg})
	}
	if len(c.Bins) == 0 {
		return nil
	}
	reference, window := chart.Series{Name: "reference"}, chart.Series{Name: "window"}
	var names []string
	for _, b := range c.Bins {
		names = append(names, b.Bin)
		reference.Points = append(reference.Points, chart.Point{Y: 100 * b.Reference, Title: fmt.Sprintf("%s: %s %% of the reference", b.Bin, number(100*b.Reference))})
		window.Points = append(window.Points, chart.Point{Y: 100 * b.Current, Title: fmt.Sprintf("%s: %s %% of the window, %s of PSI", b.Bin, number(100*b.Current), number(b.PSI))})
	}
	svg, err := chart.Chart{Title: "bins of " + c.Column, Y: "% of rows"}.Bars(names, []chart.Series{reference, window})
	v.Bins = append(v.Bins, figure{Caption: c.Column, Note: "reference and window", SVG: svg})
	return err
}

func columnOf(e *events.DriftEvaluated, name string) *events.ColumnEvaluation {
	for i := range e.Columns {
		if e.Columns[i].Column == name {
			return &e.Columns[i]
		}
	}
	return nil
}

func stateWords(s events.ColumnState) string {
	if s == events.StateInsufficient {
		return "too few rows yet"
	}
	return string(s)
}
