package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

func (g *Gates) check(f *faults, by Rule) {
	for i, t := range g.Staging {
		path := fmt.Sprintf("gates.staging[%d]", i)
		metric(f, path+".metric", t.Metric, by)
		switch {
		case LessIsBetter(t.Metric):
			f.add(path+".metric", "less is better for %s, and min is the least that is allowed: use f1_churn, roc_auc or pr_auc", t.Metric)
		case t.Metric == MetricProfit:
			share(f, path+".min", t.Min, -math.MaxFloat64, math.MaxFloat64)
		default:
			share(f, path+".min", t.Min, 0, 1)
		}
	}
	metric(f, "gates.production.metric", g.Production.Metric, by)
}

// metric refuses names that no holdout is ever measured by.
func metric(f *faults, path, name string, by Rule) {
	switch {
	case name == MetricProfit && by != RuleProfit:
		f.add(path, "%s is measured with threshold: {by: profit} alone", name)
	case name == MetricCost && by != RuleCost:
		f.add(path, "%s is measured with threshold: {by: cost} alone", name)
	case name != MetricProfit && name != MetricCost:
		oneOf(f, path, name, gateMetrics...)
	}
}

func (d *Drift) check(f *faults, kinds map[string]kind) {
	between(f, "drift.window", d.Window, 1, 10_000_000)
	atLeast(f, "drift.max_age", d.MaxAge, 1)
	between(f, "drift.every", d.Every, 1, 10_000_000)
	between(f, "drift.min_rows", d.MinRows, 1, 10_000_000)
	if d.MinRows > d.Window {
		f.add("drift.min_rows", "%d rows never fit a window of %d", d.MinRows, d.Window)
	}
	share(f, "drift.alert", d.Alert, 1e-9, 100)
	share(f, "drift.clear", d.Clear, 0, 100)
	if d.Clear > d.Alert {
		f.add("drift.clear", "%g is greater than alert, %g", d.Clear, d.Alert)
	}
	if !(d.Confidence > 0 && d.Confidence < 1) {
		f.add("drift.confidence", "want more than 0 and less than 1, got %g", d.Confidence)
	}
	atLeast(f, "drift.consecutive", d.Consecutive, 1)
	atLeast(f, "drift.repeat", d.Repeat, 1)
	between(f, "drift.bins", d.Bins, 2, 1000)
	if !(d.EmptyShare > 0 && d.EmptyShare < 0.5) {
		f.add("drift.empty_share", "want more than 0 and less than 0.5, got %g", d.EmptyShare)
	}
	seen := map[string]bool{}
	for i, m := range d.Monitors {
		path := fmt.Sprintf("drift.monitors[%d]", i)
		k := kinds[m.Column]
		switch {
		case m.Column != ScoreColumn && k != kindNumeric && k != kindCategorical:
			f.add(path+".column", "%q is no numeric or categorical column and not %s", cut(m.Column), ScoreColumn)
		case seen[m.Column]:
			f.add(path+".column", "%q is monitored twice", cut(m.Column))
		}
		seen[m.Column] = true
		oneOf(f, path+".action", m.Action, ActionRetrain, ActionReport)
	}
	if d.Performance != nil {
		d.Performance.check(f)
	}
}

func (p *Performance) check(f *faults) {
	const at = "drift.performance"
	between(f, at+".every", p.Every, 1, 10_000_000)
	between(f, at+".window", p.Window, 1, 10_000_000)
	between(f, at+".min_rows", p.MinRows, 1, 10_000_000)
	if p.MinRows > p.Window {
		f.add(at+".min_rows", "%d rows never fit a window of %d", p.MinRows, p.Window)
	}
	atLeast(f, at+".min_positives", p.MinPositives, 1)
	share(f, at+".drop", p.Drop, 0, 1)
	share(f, at+".clear", p.Clear, 0, 1)
	if p.Clear > p.Drop {
		f.add(at+".clear", "%g is greater than drop, %g", p.Clear, p.Drop)
	}
	share(f, at+".standard_errors", p.StandardErrors, 0, 100)
	atLeast(f, at+".consecutive", p.Consecutive, 1)
	oneOf(f, at+".action", p.Action, ActionRetrain, ActionReport)
}

func (r *Retrain) check(f *faults) {
	atLeast(f, "retrain.debounce", r.Debounce, 0)
	atLeast(f, "retrain.cooldown", r.Cooldown, 0)
	atLeast(f, "retrain.min_new_rows", r.MinNewRows, 0)
	if r.Schedule == nil {
		return
	}
	if err := checkCron(r.Schedule.Cron); err != nil {
		f.add("retrain.schedule.cron", "%s", err)
	}
	if !zoneForm.MatchString(r.Schedule.TimeZone) {
		f.add("retrain.schedule.time_zone", "want a name like UTC or Europe/Berlin, got %q", cut(r.Schedule.TimeZone))
	}
	oneOf(f, "retrain.schedule.target_stage", r.Schedule.TargetStage, "production", "staging")
}

func (e *Expectations) check(f *faults, kinds map[string]kind) {
	atLeast(f, "expectations.min_rows", e.MinRows, 0)
	if e.UniqueID && !hasKind(kinds, kindID) {
		f.add("expectations.unique_id", "there is no id column that could be unique")
	}
	share(f, "expectations.positive_share_min", e.PositiveShareMin, 0, 1)
	share(f, "expectations.positive_share_max", e.PositiveShareMax, 0, 1)
	if e.PositiveShareMin > e.PositiveShareMax {
		f.add("expectations.positive_share_min", "%g is greater than positive_share_max, %g",
			e.PositiveShareMin, e.PositiveShareMax)
	}
	share(f, "expectations.max_quarantined", e.MaxQuarantined, 0, 1)
	share(f, "expectations.max_unseen", e.MaxUnseen, 0, 1)
	seen := map[string]bool{}
	for i, n := range e.NotNull {
		path := fmt.Sprintf("expectations.not_null[%d]", i)
		k := kinds[n.Column]
		switch {
		case k != kindNumeric && k != kindCategorical:
			f.add(path+".column", "%q is no numeric or categorical column", cut(n.Column))
		case seen[n.Column]:
			f.add(path+".column", "%q is listed twice", cut(n.Column))
		}
		seen[n.Column] = true
		share(f, path+".mostly", n.Mostly, 0, 1)
	}
}

func hasKind(kinds map[string]kind, k kind) bool {
	for _, have := range kinds {
		if have == k {
			return true
		}
	}
	return false
}

// positiveShare checks 0 < got <= 1.
func positiveShare(f *faults, path string, got float64) {
	if !(got > 0 && got <= 1) {
		f.add(path, "want more than 0 and at most 1, got %g", got)
	}
}

// cronFields are the bounds of the six fields of a schedule.
var cronFields = []struct {
	name        string
	least, most int
	words       string // names that stand for numbers, in their order
}{
	{"second", 0, 59, ""},
	{"minute", 0, 59, ""},
	{"hour", 0, 23, ""},
	{"day of month", 1, 31, ""},
	{"month", 1, 12, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"},
	{"day of week", 0, 7, "SUN MON TUE WED THU FRI SAT"},
}

// checkCron accepts six fields of lists, ranges, steps and *: "0 0 2 * * 1" is Mondays at two.
func checkCron(s string) error {
	parts := strings.Fields(s)
	if len(parts) != len(cronFields) {
		return fmt.Errorf("want six fields, seconds first, like \"0 0 2 * * 1\"; got %d in %q", len(parts), cut(s))
	}
	for i, part := range parts {
		for _, item := range strings.Split(part, ",") {
			if !cronItem(i, item) {
				return fmt.Errorf("%s: %q is not within %d to %d", cronFields[i].name, cut(item),
					cronFields[i].least, cronFields[i].most)
			}
		}
	}
	return nil
}

func cronItem(field int, item string) bool {
	span, step, stepped := strings.Cut(item, "/")
	if stepped {
		if n, err := strconv.Atoi(step); err != nil || n < 1 || n > cronFields[field].most {
			return false
		}
	}
	if span == "*" || span == "?" {
		return true
	}
	from, to, ranged := strings.Cut(span, "-")
	low, ok := cronNumber(field, from)
	if !ok || !ranged {
		return ok
	}
	high, ok := cronNumber(field, to)
	return ok && low <= high
}

func cronNumber(field int, s string) (int, bool) {
	c := cronFields[field]
	for i, word := range strings.Fields(c.words) {
		if strings.EqualFold(word, s) {
			return c.least + i, true
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= c.least && n <= c.most
}
