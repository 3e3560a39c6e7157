package console

import (
	"cmp"
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/tracking"
)

const (
	runsShown   = 100
	csvPage     = 1000
	csvTime     = 10 * time.Minute
	metricsBest = 4 // columns of metrics and of params that a table begins with
	paramsBest  = 3
)

// Kinds of a table's columns, as the filter's grammar calls them.
const (
	kindMetric    = "metrics"
	kindParam     = "params"
	kindTag       = "tags"
	kindAttribute = "attributes"
)

// column is one column of the runs table.
type column struct {
	Kind, Key string
	Shown     bool
	Sort      string // address that sorts by it
	Sorted    string // "ascending", "descending" or empty, as aria-sort says it
}

// ID names the column in addresses, for instance "metrics.auc".
func (c column) ID() string { return c.Kind + "." + c.Key }

// Number reports whether the column's values are numbers.
func (c column) Number() bool { return c.Kind == kindMetric }

// Words is the column's name for readers.
func (c column) Words() string {
	if words, ok := attributeWords[c.Key]; ok && c.Kind == kindAttribute {
		return words
	}
	return c.Key
}

var attributeWords = map[string]string{"run_name": "Run", "status": "Status", "start_time": "Started", "user_id": "User", "end_time": "Ended"}

// term is the column in the filter's and order's grammar.
func (c column) term() string {
	quote := "`"
	if strings.Contains(c.Key, quote) {
		quote = `"`
	}
	return c.Kind + "." + quote + c.Key + quote
}

// parseColumn reads what ID wrote.
func parseColumn(id string) (column, bool) {
	kind, key, ok := strings.Cut(id, ".")
	return column{Kind: kind, Key: key}, ok && key != "" && slices.Contains([]string{kindMetric, kindParam, kindTag, kindAttribute}, kind)
}

// runRow is a run with what a table asks of it.
type runRow struct {
	tracking.Run
	Href string
}

func rowOf(r tracking.Run) runRow { return runRow{r, runPath(r.ID)} }

// Words is the run's name, or its id if it has none.
func (r runRow) Words() string { return cmp.Or(r.Name, r.ID) }

// Started and Ended are the client's times.
func (r runRow) Started() time.Time { return millis(r.StartTime) }
func (r runRow) Ended() time.Time   { return millis(r.EndTime) }

// Duration says how long the run took, empty if it has not ended.
func (r runRow) Duration() string {
	if r.EndTime == 0 || r.StartTime == 0 {
		return ""
	}
	return duration(time.Duration(r.EndTime-r.StartTime) * time.Millisecond)
}

// Tag returns the value of a tag, empty for none.
func (r runRow) Tag(key string) string { return valueOf(r.Tags, key) }

// metric returns the run's value of a metric.
func (r runRow) metric(key string) (float64, bool) {
	i, ok := slices.BinarySearchFunc(r.Metrics, key, func(m events.MetricPoint, key string) int { return cmp.Compare(m.Key, key) })
	if !ok {
		return 0, false
	}
	return float64(r.Metrics[i].Value), true
}

// Cell is the run's text in a column, empty where it has none.
func (r runRow) Cell(c column) string {
	switch c.Kind {
	case kindMetric:
		if v, ok := r.metric(c.Key); ok {
			return number(v)
		}
	case kindParam:
		return valueOf(r.Params, c.Key)
	case kindTag:
		return valueOf(r.Tags, c.Key)
	}
	return ""
}

type runsView struct {
	frame
	listing
	Experiment experiment
	Runs       []runRow
	Fixed      []column // attributes that every table has
	Columns    []column // shown
	Choices    []column // all that can be chosen
	Sort, Dir  string
	CSV        string
	Deleted    bool
}

// runQuery is the query that the settings of a runs page ask for.
func runQuery(experiment, query, view string, settings url.Values) tracking.RunQuery {
	q := tracking.RunQuery{
		ExperimentIDs: []string{experiment}, Filter: query, View: views[view], MaxResults: runsShown, PageToken: settings.Get("page"),
	}
	if c, ok := parseColumn(settings.Get("sort")); ok {
		dir := "ASC"
		if settings.Get("dir") == "desc" {
			dir = "DESC"
		}
		q.OrderBy = []string{c.term() + " " + dir}
	}
	return q
}

func (p *site) runs(r *request) (view, error) {
	e, err := p.experiment(r.Context(), r.PathValue("experiment"))
	if err != nil {
		return view{}, err
	}
	settings := r.URL.Query()
	v := runsView{frame: r.frame, listing: newListing(r), Experiment: e, Sort: settings.Get("sort"), Dir: settings.Get("dir")}
	v.Title, v.Area, v.Crumbs = e.Name, "experiments", []link{{Words: "Experiments", Href: "/experiments"}}
	page, err := p.book.SearchRuns(r.Context(), runQuery(e.ID, v.Query, v.View, settings))
	if err != nil {
		v.Fault = err.Error()
	}
	for _, run := range page.Items {
		v.Runs = append(v.Runs, rowOf(run))
	}
	v.Choices = columnsOf(v.Runs, settings["col"])
	for _, key := range []string{"run_name", "status", "start_time"} {
		v.Fixed = append(v.Fixed, column{Kind: kindAttribute, Key: key})
	}
	for _, cols := range [][]column{v.Fixed, v.Choices} {
		for i := range cols {
			cols[i].sortable(r.URL.Path, settings)
		}
	}
	for _, c := range v.Choices {
		if c.Shown {
			v.Columns = append(v.Columns, c)
		}
	}
	v.turn(e.Href, settings, page.Next)
	v.CSV = with(e.Href+"/runs.csv", settings, "page", "")
	return view{template: "runs", data: v}, nil
}

// sortable sets the address that a click on the column's header leads to: numbers and times begin with the greatest.
func (c *column) sortable(path string, settings url.Values) {
	first, second := "asc", "desc"
	if c.Number() || c.Key == "start_time" {
		first, second = second, first
	}
	dir := first
	if settings.Get("sort") == c.ID() {
		c.Sorted = map[string]string{"desc": "descending"}[settings.Get("dir")]
		c.Sorted = cmp.Or(c.Sorted, "ascending")
		if settings.Get("dir") == first {
			dir = second
		}
	}
	c.Sort = with(path, settings, "sort", c.ID(), "dir", dir, "page", "")
}

// columnsOf returns the columns that the runs have values for, those in chosen shown; with none chosen a few of each kind are, of the params
// those that differ.
func columnsOf(runs []runRow, chosen []string) []column {
	counts := map[column]int{}
	values := map[column]map[string]bool{}
	note := func(c column, value string) {
		counts[c]++
		if c.Kind == kindParam {
			if values[c] == nil {
				values[c] = map[string]bool{}
			}
			values[c][value] = true
		}
	}
	for _, r := range runs {
		for _, m := range r.Metrics {
			note(column{Kind: kindMetric, Key: m.Key}, "")
		}
		for _, q := range r.Params {
			note(column{Kind: kindParam, Key: q.Key}, q.Value)
		}
		for _, q := range r.Tags {
			note(column{Kind: kindTag, Key: q.Key}, "")
		}
	}
	for _, id := range chosen { // also what no run of this page has
		if c, ok := parseColumn(id); ok && c.Kind != kindAttribute {
			counts[c] += 0
		}
	}
	var out []column
	for c := range counts {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b column) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key)) })
	if len(chosen) > 0 {
		for i := range out {
			out[i].Shown = slices.Contains(chosen, out[i].ID())
		}
		return out
	}
	best(out, kindMetric, metricsBest, func(c column) int { return 2*counts[c] + headline(c.Key) })
	best(out, kindParam, paramsBest, func(c column) int {
		if len(values[c]) < 2 {
			return 0
		}
		return counts[c]
	})
	return out
}

// headline prefers the metrics that a gate looks at.
func headline(metric string) int {
	switch metric {
	case "f1_churn", "roc_auc", "pr_auc", "log_loss", "auc", "loss", "accuracy":
		return 1
	}
	return 0
}

// best shows up to n columns of a kind that have the greatest positive rank.
func best(columns []column, kind string, n int, rank func(column) int) {
	var of []int
	for i, c := range columns {
		if c.Kind == kind && rank(c) > 0 {
			of = append(of, i)
		}
	}
	slices.SortStableFunc(of, func(a, b int) int { return cmp.Compare(rank(columns[b]), rank(columns[a])) })
	for _, i := range of[:min(n, len(of))] {
		columns[i].Shown = true
	}
}

// runsCSV writes all runs that the page's query matches. Without chosen columns it has every one that a run has, for which the runs are looked
// through twice; a run logged meanwhile may be missing.
func (p *site) runsCSV(w http.ResponseWriter, r *http.Request) {
	p.frame(r)
	ctx := tracking.AsFolded(r.Context())
	e, err := p.experiment(ctx, r.PathValue("experiment"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	settings := r.URL.Query()
	l := newListing(&request{Request: r})
	q := runQuery(e.ID, l.Query, l.View, settings)
	q.MaxResults, q.PageToken = csvPage, ""
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(csvTime)) // without one the server's own holds
	columns, err := p.csvColumns(ctx, q, settings["col"])
	if err != nil {
		http.Error(w, err.Error(), problem(&request{Request: r}, err).code)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="runs.csv"`)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := p.writeCSV(ctx, w, q, columns); err != nil {
		p.s.Log().Warn("download ended early", "path", r.URL.Path, "err", err)
		panic(http.ErrAbortHandler)
	}
}

// each calls fn with every run of a query.
func (p *site) each(ctx context.Context, q tracking.RunQuery, fn func(runRow) error) error {
	for {
		page, err := p.book.SearchRuns(ctx, q)
		if err != nil {
			return err
		}
		for _, run := range page.Items {
			if err := fn(rowOf(run)); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.PageToken = page.Next
	}
}

func (p *site) csvColumns(ctx context.Context, q tracking.RunQuery, chosen []string) ([]column, error) {
	if len(chosen) > 0 {
		var out []column
		for _, id := range chosen {
			if c, ok := parseColumn(id); ok && c.Kind != kindAttribute {
				out = append(out, c)
			}
		}
		return out, nil
	}
	seen := map[column]bool{}
	err := p.each(ctx, q, func(r runRow) error {
		for _, c := range columnsOf([]runRow{r}, nil) {
			c.Shown = false
			seen[c] = true
		}
		return nil
	})
	var out []column
	for c := range seen {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b column) int { return cmp.Compare(a.ID(), b.ID()) })
	return out, err
}

func (p *site) writeCSV(ctx context.Context, w io.Writer, q tracking.RunQuery, columns []column) error {
	out := csv.NewWriter(w)
	head := []string{"run_id", "run_name", "status", "start_time", "end_time", "user_id"}
	for _, c := range columns {
		head = append(head, harmless(c.ID()))
	}
	if err := out.Write(head); err != nil {
		return err
	}
	err := p.each(ctx, q, func(r runRow) error {
		row := []string{harmless(r.ID), harmless(r.Name), string(r.Status), utc(r.Started()), utc(r.Ended()), harmless(r.UserID)}
		for _, c := range columns {
			if v, ok := r.metric(c.Key); ok && c.Kind == kindMetric {
				row = append(row, strconv.FormatFloat(v, 'g', -1, 64))
			} else {
				row = append(row, harmless(r.Cell(c)))
			}
		}
		return out.Write(row)
	})
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// harmless keeps a spreadsheet from taking a client's text for a formula. Numbers stay as they are.
func harmless(text string) string {
	if text == "" || !strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return text
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return text
	}
	return "'" + text
}
