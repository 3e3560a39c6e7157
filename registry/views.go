package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// frame is what every page shows.
type frame struct {
	Title   string
	Models  []string
	Through uint64
	Junk    uint64
	Stale   string // why the fold could not be brought up to date
}

type (
	missingView struct {
		frame
		What string
	}
	overviewView struct {
		frame
		Rows        []modelRow
		Experiments []experimentRow
	}
	modelRow struct {
		Name          string
		Production    int
		Since         time.Time
		Versions      int
		Current, Live int // live instances on Production, and all
	}
	experimentRow struct {
		Name, Model string
		Runs        int
		Last        time.Time
	}
	experimentView struct {
		frame
		Metrics []string
		Runs    []Run
		More    int // older runs that are not shown
	}
	runView struct {
		frame
		Run Run
	}
	modelView struct {
		frame
		Name       string
		Production *Version
		Metrics    []string
		Versions   []Version
		Instances  []instanceRow
		Promotions []Promotion
		// MoreVersions and MorePromotions count the older ones that are not shown.
		MoreVersions, MorePromotions int
	}
	instanceRow struct {
		Instance
		IsLive bool
	}
	versionView struct {
		frame
		Version   Version
		Overtaken bool
	}
	driftView struct {
		frame
		Latest  []*events.DriftEvaluated // at most one of each kind
		History []*events.DriftEvaluated // of kind data, newest first
		Columns []string
	}
)

// rowsShown bounds the rows of a table.
const rowsShown = 500

// newest returns the first rows of a list that begins with the newest, and how many it left out.
func newest[T any](rows []T) (shown []T, more int) {
	n := min(len(rows), rowsShown)
	return rows[:n], len(rows) - n
}

// headline are the metrics that tables show; each page has the rest.
var headline = []string{"f1_churn", "roc_auc", "pr_auc", "log_loss"}

func (p *pages) overview(_ *http.Request, f frame) (string, any) {
	f.Title = "Overview"
	view := overviewView{frame: f}
	now := p.s.cfg.Now()
	p.s.ledger.view(func(c *Catalog, fl *Fleet) {
		for _, name := range c.Models() {
			row := modelRow{Name: name, Versions: len(c.Versions(name)), Live: fl.LiveCount(name, now)}
			if pr, ok := c.Promotion(name); ok {
				row.Production, row.Since = pr.Version, pr.At
			}
			for _, i := range fl.Instances(name) {
				if i.Live(now) && i.Serving.Version == row.Production {
					row.Current++
				}
			}
			view.Rows = append(view.Rows, row)
			view.Experiments = append(view.Experiments, experimentsOf(c, name)...)
		}
	})
	return "overview", view
}

func experimentsOf(c *Catalog, name string) []experimentRow {
	var out []experimentRow
	for _, r := range c.Runs(name) { // newest first
		i := slices.IndexFunc(out, func(e experimentRow) bool { return e.Name == r.Experiment() })
		if i < 0 {
			out = append(out, experimentRow{Name: r.Experiment(), Model: name, Last: r.At})
			i = len(out) - 1
		}
		out[i].Runs++
	}
	return out
}

func (p *pages) experiment(r *http.Request, f frame) (string, any) {
	f.Title = r.PathValue("name")
	view := experimentView{frame: f, Metrics: headline}
	p.s.ledger.view(func(c *Catalog, _ *Fleet) {
		for _, name := range c.Models() {
			for _, run := range c.Runs(name) {
				if run.Experiment() == f.Title {
					view.Runs = append(view.Runs, run)
				}
			}
		}
	})
	if len(view.Runs) == 0 {
		return "experiment", nil
	}
	view.Runs, view.More = newest(view.Runs)
	return "experiment", view
}

func (p *pages) model(r *http.Request, f frame) (string, any) {
	name, ok := f.modelName(r)
	if !ok {
		return "model", nil
	}
	f.Title = name
	view := modelView{frame: f, Name: name, Metrics: headline}
	now := p.s.cfg.Now()
	p.s.ledger.view(func(c *Catalog, fl *Fleet) {
		view.Versions, view.MoreVersions = newest(c.Versions(name))
		view.Promotions, view.MorePromotions = newest(c.Promotions(name))
		if v, ok := c.Production(name); ok {
			view.Production = &v
		}
		for _, i := range fl.Instances(name) {
			view.Instances = append(view.Instances, instanceRow{i, i.Live(now)})
		}
	})
	return "model", view
}

const (
	driftRead  = 300 // messages of DRIFT that a page looks through
	driftShown = 20
)

func (p *pages) drift(r *http.Request, f frame) (string, any) {
	name, ok := f.modelName(r)
	if !ok {
		return "model", nil
	}
	f.Title = "Drift of " + name
	view := driftView{frame: f}
	ctx, cancel := context.WithTimeout(r.Context(), pageRefresh)
	defer cancel()
	evaluations, err := p.evaluations(ctx, name)
	if err != nil {
		view.Stale = err.Error()
	}
	kinds := map[events.DriftKind]bool{}
	for _, e := range slices.Backward(evaluations) {
		if !kinds[e.Kind] {
			kinds[e.Kind] = true
			view.Latest = append(view.Latest, e)
		}
		if e.Kind == events.DriftData && len(view.History) < driftShown {
			view.History = append(view.History, e)
		}
	}
	if len(view.History) > 0 {
		for _, c := range view.History[0].Columns {
			view.Columns = append(view.Columns, c.Column)
		}
	}
	return "drift", view
}

// evaluations returns the model's latest evaluations, oldest first.
func (p *pages) evaluations(ctx context.Context, name string) ([]*events.DriftEvaluated, error) {
	subject, err := events.SubjectOf(events.TypeDriftEvaluated, name)
	if err != nil {
		return nil, err
	}
	last, ok, err := p.s.cfg.Bus.Last(ctx, events.TypeDriftEvaluated, name)
	if err != nil || !ok {
		return nil, err
	}
	var out []*events.DriftEvaluated
	from := uint64(1)
	if last.Sequence > driftRead {
		from = last.Sequence - driftRead
	}
	err = p.s.cfg.Bus.Read(ctx, bus.ReadConfig{Stream: events.Drift, Filters: []string{subject}, From: from, Through: last.Sequence},
		func(m bus.Message) error {
			if e, ok := m.Event.Payload.(*events.DriftEvaluated); ok && m.Err == nil {
				out = append(out, e)
			}
			return nil
		})
	return out, err
}

// artifactList is what the template "artifacts" shows.
type artifactList struct {
	Run       string
	Artifacts []events.Artifact
}

var templateFuncs = template.FuncMap{
	"token": func(name string) string {
		token, err := events.Token(name)
		if err != nil {
			return ""
		}
		return token
	},
	"path":   url.PathEscape,
	"files":  func(run string, artifacts []events.Artifact) artifactList { return artifactList{run, artifacts} },
	"number": formatNumber,
	"pointer": func(v *float64) string {
		if v == nil {
			return "–"
		}
		return formatNumber(*v)
	},
	"lookup": lookup,
	"metric": func(r Run, name string) string {
		if r.Completed == nil {
			return ""
		}
		return lookup(r.Completed.Metrics, name)
	},
	"gateMetric": func(v Version, name string) string {
		if v.Gate == nil {
			return ""
		}
		return lookup(v.Gate.Metrics, name)
	},
	"column": func(e *events.DriftEvaluated, name string) *events.ColumnEvaluation {
		for i := range e.Columns {
			if e.Columns[i].Column == name {
				return &e.Columns[i]
			}
		}
		return nil
	},
	"causes":       causesOf,
	"twice":        func(v float64) float64 { return 2 * v },
	"short":        func(id string) string { return id[:min(len(id), 12)] },
	"when":         formatTime,
	"millis":       func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() },
	"bytes":        formatBytes,
	"indent":       formatJSON,
	"plural":       plural,
	"stageClass":   classes(map[events.Stage]string{events.StageProduction: "good", events.StageStaging: "warn"}),
	"verdictClass": classes(map[events.Verdict]string{events.VerdictPromotable: "good", events.VerdictRejected: "bad"}),
	"runClass":     classes(map[RunState]string{RunCompleted: "good", RunOpen: "warn", RunFailed: "bad", RunRefused: "bad"}),
	"stateClass":   classes(map[events.ColumnState]string{events.StatePending: "warn", events.StateFiring: "bad", events.StateInsufficient: "soft"}),
}

// classes returns a function that gives a state its CSS class, "soft" for one that has none.
func classes[S ~string](m map[S]string) func(S) string {
	return func(s S) string {
		if c, ok := m[s]; ok {
			return c
		}
		return "soft"
	}
}

func causesOf(r Run) []events.Cause {
	switch {
	case r.Completed != nil:
		return r.Completed.Causes
	case r.Failed != nil:
		return r.Failed.Causes
	case r.Started != nil:
		return r.Started.Causes
	}
	return nil
}

func lookup(metrics map[string]float64, name string) string {
	if v, ok := metrics[name]; ok {
		return formatNumber(v)
	}
	return ""
}

// formatNumber shows four decimals, whole numbers as they are, and very small ones with an exponent.
func formatNumber(v float64) string {
	switch {
	case v == float64(int64(v)):
		return strconv.FormatInt(int64(v), 10)
	case v > -1e-3 && v < 1e-3:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

func formatBytes(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func formatJSON(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if e.Encode(v) != nil {
		return string(raw)
	}
	return b.String()
}

func plural(n any, one, many string) string {
	if fmt.Sprint(n) == "1" {
		return one
	}
	return many
}
