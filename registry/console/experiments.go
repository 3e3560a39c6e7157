package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/tracking"
)

const experimentsShown = 50

// views are the words of a view in addresses.
var views = map[string]tracking.ViewType{"": tracking.ActiveOnly, "deleted": tracking.DeletedOnly, "all": tracking.All}

// listing is a table with a search box.
type listing struct {
	Query, View string
	Fault       string // why the query was refused
	Address     string // of this server, for what to type
	First, Next string // other pages
}

type experimentsView struct {
	frame
	listing
	Experiments []experiment
}

// experiment is an experiment with its address.
type experiment struct {
	tracking.Experiment
	Href string
}

func experimentOf(e tracking.Experiment) experiment { return experiment{e, experimentPath(e.ID)} }

// Tag returns the value of a tag, empty for none.
func (e experiment) Tag(key string) string { return valueOf(e.Tags, key) }

func valueOf(pairs []events.Pair, key string) string {
	for _, p := range pairs {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// address is how the client reaches this server.
func address(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func newListing(r *request) listing {
	q := r.URL.Query()
	l := listing{Query: strings.TrimSpace(q.Get("q")), View: q.Get("view"), Address: address(r.Request)}
	if _, ok := views[l.View]; !ok {
		l.View = ""
	}
	return l
}

// turn sets the addresses of the first and the next page.
func (l *listing) turn(path string, settings url.Values, next string) {
	if settings.Get("page") != "" {
		l.First = with(path, settings, "page", "")
	}
	if next != "" {
		l.Next = with(path, settings, "page", next)
	}
}

// nameFilter turns the words of a search box into a filter on the name; what already is a filter stays.
func nameFilter(words string) string {
	switch {
	case words == "", strings.ContainsAny(words, "=<>'\"`"), strings.Contains(strings.ToUpper(words), " LIKE "), strings.Contains(strings.ToUpper(words), " ILIKE "):
		return words
	}
	return fmt.Sprintf("name ILIKE '%%%s%%'", words)
}

func (p *site) experiments(r *request) (view, error) {
	v := experimentsView{frame: r.frame, listing: newListing(r)}
	v.Title, v.Area = "Experiments", "experiments"
	q := r.URL.Query()
	page, err := p.book.SearchExperiments(r.Context(), tracking.Query{
		Filter: nameFilter(v.Query), View: views[v.View], MaxResults: experimentsShown, PageToken: q.Get("page"),
	})
	if err != nil {
		v.Fault = err.Error()
	}
	for _, e := range page.Items {
		v.Experiments = append(v.Experiments, experimentOf(e))
	}
	v.turn(r.URL.Path, q, page.Next)
	return view{template: "experiments", data: v}, nil
}

// experiment returns the experiment of the path, which may hold its id or its name.
func (p *site) experiment(ctx context.Context, id string) (experiment, error) {
	e, err := p.book.Experiment(ctx, id)
	if err != nil {
		var byName error
		if e, byName = p.book.ExperimentByName(ctx, id); byName != nil {
			return experiment{}, &missing{what: "experiment " + cut(id, 60)}
		}
	}
	return experimentOf(e), nil
}
