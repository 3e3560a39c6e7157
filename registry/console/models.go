package console

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/console/chart"
)

const (
	versionsShown = 200
	auditShown    = 300
	// timeForm is what a datetime-local field holds; the page says that it means UTC.
	timeForm = "2006-01-02T15:04"
)

// modelRow is a model in a list.
type modelRow struct {
	registry.Model
	Production    []int // newest promotion first; one at most of a model with gates
	Since         time.Time
	Versions      int
	Staging       int
	Current, Live int // live instances that serve Production, and all
}

// Href is the model's page.
func (m modelRow) Href() string { return modelPath(m.Name) }

// AliasWords lists the aliases with their versions.
func (m modelRow) AliasWords() []string {
	var out []string
	for _, a := range slices.Sorted(maps.Keys(m.Aliases)) {
		out = append(out, fmt.Sprintf("%s → %d", a, m.Aliases[a]))
	}
	return out
}

func rowOfModel(c *registry.Catalog, f *registry.Fleet, key string, now time.Time) (modelRow, bool) {
	m, ok := c.Model(key)
	if !ok || m.Deleted {
		return modelRow{}, false
	}
	row := modelRow{Model: m, Live: f.LiveCount(key, now)}
	for _, v := range c.Versions(key) {
		if v.Deleted {
			continue
		}
		row.Versions++
		switch v.Stage {
		case events.StageProduction:
			row.Production = append(row.Production, v.Version)
		case events.StageStaging:
			row.Staging++
		}
	}
	p, promoted := c.Promotion(key)
	if promoted && p.Version > 0 {
		row.Since = p.At
		row.Production = append([]int{p.Version}, slices.DeleteFunc(row.Production, func(n int) bool { return n == p.Version })...)
	}
	for _, i := range f.Instances(key) {
		if i.Live(now) && promoted && i.Serving.Version == p.Version {
			row.Current++
		}
	}
	return row, true
}

func (p *site) modelRows() []modelRow {
	var out []modelRow
	now := p.s.Now()
	p.s.View(func(c *registry.Catalog, f *registry.Fleet) {
		for _, key := range c.Models() {
			if row, ok := rowOfModel(c, f, key, now); ok {
				out = append(out, row)
			}
		}
	})
	slices.SortFunc(out, func(a, b modelRow) int { return strings.Compare(a.Name, b.Name) })
	return out
}

type modelsView struct {
	frame
	listing
	Models []modelRow
}

func (p *site) models(r *request) (view, error) {
	p.live(r)
	v := modelsView{frame: r.frame, listing: newListing(r)}
	v.Title, v.Area = "Models", "models"
	for _, m := range p.modelRows() {
		if matches(m.Name, v.Query) {
			v.Models = append(v.Models, m)
		}
	}
	return view{template: "models", data: v}, nil
}

// findModel returns the key of the model that a path names, by its token or its plain name.
func (p *site) findModel(token string) (key string, err error) {
	names := modelNames(token)
	found := false
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		for _, name := range names {
			if key, found = c.Key(name); found {
				return
			}
		}
		for _, name := range names { // events name keys, which differ from the names of renamed models
			if m, ok := c.Model(name); ok && !m.Deleted {
				key, found = name, true
				return
			}
		}
	})
	if !found {
		return "", &missing{what: "model " + cut(names[0], 80), hint: "It may have been renamed or deleted."}
	}
	return key, nil
}

// findVersion returns the version that a path names.
func (p *site) findVersion(token, number string) (registry.Version, error) {
	key, err := p.findModel(token)
	if err != nil {
		return registry.Version{}, err
	}
	n, err := strconv.Atoi(number)
	var v registry.Version
	ok := err == nil
	if ok {
		p.s.View(func(c *registry.Catalog, _ *registry.Fleet) { v, ok = c.Version(key, n) })
	}
	if !ok {
		return v, &missing{what: fmt.Sprintf("version %s of this model", cut(number, 20))}
	}
	return v, nil
}

type instanceRow struct {
	registry.Instance
	IsLive, IsCurrent bool
}

type modelView struct {
	frame
	Model      modelRow
	Address    string
	Versions   []versionRow
	Metrics    []string
	More       int // older versions that are not shown
	Chart      *figure
	Metric     string
	Choices    []string // metrics that can be drawn
	Instances  []instanceRow
	Promotions []registry.Promotion
	Older      int // promotions that are not shown
	At, Answer string
	CanGoBack  bool
	Rollout    *rolloutView
	Serve      string // the command that starts an instance of what is Production; empty if nothing could serve that
}

type versionRow struct {
	registry.Version
	Overtaken bool
}

// Href is the version's page.
func (v versionRow) Href() string { return versionPath(v.ModelName, v.Version.Version) }

// Cell is the registry's own figure of a metric.
func (v versionRow) Cell(metric string) string {
	if v.Gate == nil {
		return ""
	}
	n, ok := v.Gate.Metrics[metric]
	if !ok {
		return ""
	}
	return number(n)
}

func (p *site) model(r *request) (view, error) {
	p.live(r)
	key, err := p.findModel(r.PathValue("model"))
	if err != nil {
		return view{}, err
	}
	q := r.URL.Query()
	v := modelView{frame: r.frame, Address: address(r.Request), Metric: q.Get("metric"), At: q.Get("at")}
	now := p.s.Now()
	p.s.View(func(c *registry.Catalog, f *registry.Fleet) {
		v.Model, _ = rowOfModel(c, f, key, now)
		for _, version := range c.Versions(key) {
			v.Versions = append(v.Versions, versionRow{version, c.Overtaken(version)})
		}
		v.Promotions, v.CanGoBack = c.History(key), len(c.Earlier(key)) > 0
		v.Instances = instancesOf(c, f, key, now)
		if in, ok := c.Promotion(key); ok && in.Version > 0 && in.Unservable == "" && in.Bundle.Digest != "" {
			v.Serve = serveCommand(v.Model.Name)
		}
	})
	v.Rollout = p.rollout(r, key, 0)
	v.Title, v.Area, v.Crumbs = v.Model.Name, "models", []link{{Words: "Models", Href: "/models"}}
	if at, err := time.Parse(timeForm, v.At); err == nil {
		v.Answer = productionAt(v.Promotions, at)
	} else if v.At != "" {
		v.Answer = "That is no time of the form " + timeForm + "."
	}
	if err := v.draw(); err != nil {
		return view{}, err
	}
	v.More, v.Older = max(len(v.Versions)-versionsShown, 0), max(len(v.Promotions)-versionsShown, 0)
	v.Versions, v.Promotions = v.Versions[:len(v.Versions)-v.More], v.Promotions[:len(v.Promotions)-v.Older]
	return view{template: "model", data: v}, nil
}

func instancesOf(c *registry.Catalog, f *registry.Fleet, key string, now time.Time) []instanceRow {
	p, promoted := c.Promotion(key)
	var out []instanceRow
	for _, i := range f.Instances(key) {
		out = append(out, instanceRow{i, i.Live(now), promoted && i.Serving.Version == p.Version})
	}
	return out
}

// serveCommand is what starts an instance for a model.
func serveCommand(name string) string {
	if events.PlainName(name) {
		return "churn inference --nats URL --model " + name
	}
	return "churn inference --nats URL --model '" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// productionAt says what was in force at a time. promotions begin with the newest; those of a model without gates may leave others beside the last.
func productionAt(promotions []registry.Promotion, at time.Time) string {
	at = at.Add(time.Minute - 1) // the whole minute that the field names
	for i, p := range promotions {
		if p.At.After(at) {
			continue
		}
		if p.Version == 0 {
			return fmt.Sprintf("Then no version was Production: it was withdrawn at %s.", utc(p.At))
		}
		others := strings.Join(othersThen(promotions[i:]), ", ")
		return fmt.Sprintf("Then version %d was Production, since %s (%s%s)%s.", p.Version, utc(p.At), p.Cause, after(" by ", p.Actor), after(", and beside it version ", others))
	}
	return "Then no version had been promoted yet."
}

// othersThen returns what the first of some promotions, newest first, left in Production beside its own version.
func othersThen(promotions []registry.Promotion) []string {
	there := map[int]bool{}
	for _, p := range slices.Backward(promotions) {
		switch {
		case p.Demoted > 0 && p.Ungated:
			delete(there, p.Demoted)
		case !p.Ungated || p.ArchiveExisting || p.Version == 0:
			clear(there)
		}
		if p.Version > 0 {
			there[p.Version] = true
		}
	}
	delete(there, promotions[0].Version)
	var out []string
	for _, n := range slices.Sorted(maps.Keys(there)) {
		out = append(out, strconv.Itoa(n))
	}
	return out
}

// draw shows a metric of all versions, as the registry measured it.
func (v *modelView) draw() error {
	seen := map[string]int{}
	for _, version := range v.Versions {
		if version.Gate != nil {
			for k := range version.Gate.Metrics {
				seen[k]++
			}
		}
	}
	v.Choices = slices.Sorted(maps.Keys(seen))
	for _, k := range []string{"f1_churn", "roc_auc", "pr_auc", "log_loss"} {
		if seen[k] > 0 {
			v.Metrics = append(v.Metrics, k)
		}
	}
	if len(v.Metrics) == 0 {
		v.Metrics = v.Choices[:min(len(v.Choices), metricsBest)]
	}
	if len(v.Choices) == 0 {
		return nil
	}
	if !slices.Contains(v.Choices, v.Metric) {
		v.Metric = v.Metrics[0]
	}
	own, champion := chart.Series{Name: "the version"}, chart.Series{Name: "Production then, on the same rows"}
	for _, version := range slices.Backward(v.Versions) {
		if version.Gate == nil {
			continue
		}
		n := version.Version.Version
		if value, ok := version.Gate.Metrics[v.Metric]; ok {
			own.Points = append(own.Points, chart.Point{X: float64(n), Y: value, Href: version.Href(), Title: fmt.Sprintf("version %d: %s", n, number(value))})
		}
		if value, ok := version.Gate.ChampionMetrics[v.Metric]; ok {
			champion.Points = append(champion.Points, chart.Point{X: float64(n), Y: value, Title: fmt.Sprintf("version %d, Production then: %s", version.Gate.Champion, number(value))})
		}
	}
	if len(own.Points) < 2 {
		return nil
	}
	series := []chart.Series{own}
	if len(champion.Points) > 0 {
		series = append(series, champion)
	}
	svg, err := chart.Chart{Title: v.Metric + " over the versions", X: "version", Whole: true}.Lines(series, nil)
	v.Chart = &figure{Caption: v.Metric + " over the versions", Note: "measured by the registry on each run's holdout", SVG: svg}
	return err
}

type auditView struct {
	frame
	Name    string
	Changes []registry.Change
	Older   int
}

// audit lists every fact about a model, newest first.
func (p *site) audit(r *request) (view, error) {
	key, err := p.findModel(r.PathValue("model"))
	if err != nil {
		return view{}, err
	}
	v := auditView{frame: r.frame}
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		m, _ := c.Model(key)
		v.Name, v.Changes = m.Name, c.Audit(key)
	})
	v.Title, v.Area = "History of "+v.Name, "models"
	v.Crumbs = []link{{Words: "Models", Href: "/models"}, {Words: v.Name, Href: modelPath(v.Name)}}
	v.Older = max(len(v.Changes)-auditShown, 0)
	v.Changes = v.Changes[:len(v.Changes)-v.Older]
	return view{template: "audit", data: v}, nil
}

// doneWords tell what a form did, by the word in the address that it led to.
var doneWords = map[string]string{
	"stage": "Done: the stage was changed, and the event is stored.", "rollback": "Done: the earlier version is Production again.",
	"edit": "Done: the change is stored.", "alias": "Done: the alias was moved.", "unalias": "Done: the alias was taken away.",
	"rollout": "Done: it has begun; instances take it up within a second or so.", "unrollout": "Done: it has ended, and Production answers everybody.",
	"rollout-promoted": "Done: the candidate is Production.",
}

func done(path, word string) string { return with(path, url.Values{}, "done", word) }
