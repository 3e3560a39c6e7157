package console

import "telco-churn-mlops/registry/tracking"

const overviewShown = 8

type overviewView struct {
	eventsView
	Address     string
	Models      []modelRow
	Experiments []experiment
}

func (p *site) overview(r *request) (view, error) {
	v := overviewView{eventsView: eventsView{frame: r.frame}, Address: address(r.Request)}
	v.Title, v.Area = "Registry", "home"
	v.load(r.Context(), p, overviewShown, "drift.evaluated") // before the rest, which is asked for anew by events after it
	v.Models = p.modelRows()
	page, err := p.book.SearchExperiments(r.Context(), tracking.Query{MaxResults: overviewShown, OrderBy: []string{"last_update_time DESC"}})
	if err != nil && v.Stale == "" {
		v.Stale = err.Error()
	}
	for _, e := range page.Items {
		v.Experiments = append(v.Experiments, experimentOf(e))
	}
	return view{template: "overview", data: v}, nil
}
