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
	v := overviewView{eventsView: eventsView{frame: r.frame}, Address: address(r.Request), Models: p.modelRows()}
	v.Title, v.Area = "Registry", "home"
	page, err := p.book.SearchExperiments(r.Context(), tracking.Query{MaxResults: overviewShown, OrderBy: []string{"last_update_time DESC"}})
	if err != nil && v.Stale == "" {
		v.Stale = err.Error()
	}
	for _, e := range page.Items {
		v.Experiments = append(v.Experiments, experimentOf(e))
	}
	v.load(r.Context(), p, overviewShown)
	return view{template: "overview", data: v}, nil
}
