package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/console/chart"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// chartsMost bounds the histories that a run's page draws.
const chartsMost = 12

// Tags that clients set and the page shows in words.
const (
	tagSource     = "mlflow.source.name"
	tagSourceType = "mlflow.source.type"
	tagCommit     = "mlflow.source.git.commit"
	tagNote       = "mlflow.note.content"
	tagParent     = "mlflow.parentRunId"
)

type runView struct {
	frame
	Run        runRow
	Experiment experiment
	Known      *registry.Run // what LIFECYCLE says of it, nil for a client's
	Causes     []events.Cause
	Versions   []registry.Version
	Charts     []figure
	Over       string
	Fault      string
	Files      folder
	Query      string // of the params and metrics
	Params     []events.Pair
	Metrics    []events.MetricPoint
}

// Source is where the run's code came from.
func (v runView) Source() string {
	name, kind := v.Run.Tag(tagSource), strings.ToLower(v.Run.Tag(tagSourceType))
	switch {
	case name == "":
		return kind
	case kind == "":
		return name
	}
	return name + " (" + kind + ")"
}

// Commit, Note and Parent are what the client's tags of that meaning say.
func (v runView) Commit() string { return v.Run.Tag(tagCommit) }
func (v runView) Note() string   { return v.Run.Tag(tagNote) }
func (v runView) Parent() string { return v.Run.Tag(tagParent) }

// findRun returns the run of the path.
func (p *site) findRun(ctx context.Context, id string) (runRow, error) {
	run, err := p.book.RunByID(ctx, id)
	if err != nil {
		if fault.CodeOf(err) == fault.NotFound || fault.CodeOf(err) == fault.Invalid {
			return runRow{}, &missing{what: "run " + cut(id, 60), hint: "A run that was just started appears with its first event."}
		}
		return runRow{}, err
	}
	return rowOf(run), nil
}

func (p *site) run(r *request) (view, error) {
	run, err := p.findRun(r.Context(), r.PathValue("run"))
	if err != nil {
		return view{}, err
	}
	v := runView{frame: r.frame, Run: run, Over: r.URL.Query().Get("over"), Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	v.Title, v.Area = run.Words(), "experiments"
	if e, err := p.book.Experiment(r.Context(), run.ExperimentID); err == nil {
		v.Experiment = experimentOf(e)
	}
	v.Crumbs = []link{{Words: "Experiments", Href: "/experiments"}, {Words: v.Experiment.Name, Href: experimentPath(run.ExperimentID)}}
	for _, q := range run.Params {
		if matches(q.Key, v.Query) {
			v.Params = append(v.Params, q)
		}
	}
	for _, m := range run.Metrics {
		if matches(m.Key, v.Query) {
			v.Metrics = append(v.Metrics, m)
		}
	}
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		if known, ok := c.Run(run.ID); ok {
			v.Known, v.Causes = &known, causesOf(known)
		}
		for _, name := range c.Models() {
			for _, version := range c.Versions(name) {
				if version.RunID == run.ID {
					v.Versions = append(v.Versions, version)
				}
			}
		}
	})
	if err := p.histories(r.Context(), &v); err != nil {
		return view{}, err
	}
	if v.Files, err = p.folder(r.Context(), run, ""); err != nil {
		return view{}, err
	}
	return view{template: "run", data: v}, nil
}

// matches reports whether a key contains what was asked for.
func matches(key, query string) bool {
	return strings.Contains(strings.ToLower(key), strings.ToLower(query))
}

func causesOf(r registry.Run) []events.Cause {
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

// histories draws the metrics that have more than one point. What can't be read in time is told instead.
func (p *site) histories(ctx context.Context, v *runView) error {
	var keys []string
	for _, m := range v.Metrics {
		keys = append(keys, m.Key)
	}
	switch {
	case len(keys) == 0 || v.Run.Trainer: // a trainer's metrics have one point each
		return nil
	case v.Stale != "":
		v.Fault = "The histories of the metrics can't be read at the moment."
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pageRefresh)
	defer cancel()
	histories, err := p.book.Histories(ctx, v.Run.ID, keys)
	if err != nil {
		v.Fault = fmt.Sprintf("The histories of the metrics can't be read at the moment: %s", err)
		return nil
	}
	left := 0
	for _, key := range keys {
		points := histories[key]
		switch {
		case len(points) < 2:
			continue
		case len(v.Charts) == chartsMost:
			left++
			continue
		}
		c := chart.Chart{Title: "history of " + key, X: overWords(v.Over), Whole: v.Over != "time"}
		svg, err := c.Lines([]chart.Series{historySeries(key, points, v.Over == "time")}, nil)
		if err != nil {
			return err
		}
		v.Charts = append(v.Charts, figure{Caption: key, Note: fmt.Sprintf("%d points", len(points)), SVG: svg})
	}
	if left > 0 {
		v.Fault = fmt.Sprintf("%d more metrics have histories; search for one to see it.", left)
	}
	return nil
}

// folder is one level of a run's files.
type folder struct {
	Run     runRow
	Path    string // within the run, empty for the top
	Entries []tracking.Entry
	Current string // the entry that is shown, empty for none
}

// Up is the address of the folder above.
func (f folder) Up() string {
	i := strings.LastIndexByte(f.Path, '/')
	return f.Run.Href + "/files/" + segments(f.Path[:max(i, 0)])
}

// Href is the address of an entry.
func (f folder) Href(e tracking.Entry) string {
	return f.Run.Href + "/files/" + segments(joinPath(f.Path, e.Name))
}

func joinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// filePath is where a run's file stands in the book, and false for a run whose files are kept elsewhere.
func filePath(run runRow, path string) (string, bool) {
	root, ok := tracking.PathOf(run.ArtifactURI)
	return joinPath(root, strings.Trim(path, "/")), ok
}

func (p *site) folder(ctx context.Context, run runRow, path string) (folder, error) {
	f := folder{Run: run, Path: strings.Trim(path, "/")}
	at, ok := filePath(run, f.Path)
	if !ok {
		return f, nil
	}
	entries, err := p.book.List(ctx, strings.TrimSuffix(at, "/"))
	var e *fault.Error
	if errors.As(err, &e) && e.Code == fault.NotFound {
		err = nil
	}
	f.Entries = slices.Clone(entries)
	return f, err
}
