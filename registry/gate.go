package registry

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/spec"
)

// The fixed words of [events.ModelGated]'s Reason.
const (
	ReasonFirst          = "first"                 // promotable: there is no Production
	ReasonBetter         = "better"                // promotable: strictly better than Production on the same rows
	ReasonNotBetter      = "not_better"            // not promoted
	ReasonTargetStaging  = "target_staging"        // staged: the run asked for no more
	ReasonManual         = "manual"                // staged: the spec leaves promotion to people
	ReasonWithdrawn      = "withdrawn"             // staged: a person withdrew the model, and nobody asked for this run since
	ReasonSpecDiffers    = "spec_differs"          // staged: the run followed another spec than the registry's
	ReasonSignature      = "signature"             // staged: needs inputs that Production does not have, or has with another type
	ReasonNoHoldout      = "no_comparable_holdout" // staged: the two can't be scored on the same rows
	ReasonBelowThreshold = "below_threshold"       // rejected: a staging threshold, or its metric is missing or not finite
	ReasonRefuted        = "refuted"               // rejected: these bytes could not be loaded, or broke a limit of their watch, before
	ReasonUnusable       = "unusable"              // rejected: bundle or holdout is gone, damaged or can't be scored
)

// GateInput is everything that a verdict rests on.
type GateInput struct {
	Version     int
	RunID       string
	TargetStage events.Stage
	// Gates and Promotion are the registry's rules.
	Gates     spec.Gates
	Promotion spec.Promotion
	// SpecDiffers is true if the run followed another spec than the registry's.
	SpecDiffers bool
	// Refuted is true if a rollback refuted these bytes.
	Refuted bool
	// Unusable is why the version could not be scored; empty if it could.
	Unusable string
	// Metrics are the version's figures. Measured is false if they are the run's own words, for want of a holdout.
	Metrics  map[string]float64
	Measured bool
	// HoldoutRows is the number of rows scored.
	HoldoutRows int
	// Champion is the Production version, 0 for none, and ChampionMetrics its figures on the same rows. Incomparable is why there are none.
	Champion        int
	ChampionMetrics map[string]float64
	Incomparable    string
	// Inputs says which inputs the version needs that Production lacks or has with another type; InputsCompared is false if that is not asked.
	Inputs         []string
	InputsCompared bool
	// Withdrawn is true if there is no Production because a person withdrew the model, and nobody has asked for this run since.
	Withdrawn bool
	// PromotionSequence is the last sequence of model.promoted that this was read at.
	PromotionSequence uint64
}

// Judge returns the verdict. A version is rejected if its bytes were refuted, it can't be scored, or one of the staging thresholds does not
// hold (metric >= min; a missing or non-finite metric fails). One that passes is promotable if the run asks for Production, follows the
// registry's spec, promotion is automatic, and there is no Production or the production metric is strictly better than Production's on the
// same rows (greater, or less where spec.LessIsBetter); equal is not better. Otherwise it stays in Staging, and the reason says which of these was the first to fail. Every rule that
// could be evaluated is in the result with both values, also those that no longer mattered.
//
// No Production by a person's withdrawal is not the same as no Production yet: a run that drift or a schedule started is staged then, however
// good it is, to be promoted by hand. A run that was asked for after the withdrawal is promotable as the first.
func Judge(in GateInput) *events.ModelGated {
	out := &events.ModelGated{
		Version: in.Version, RunID: in.RunID, Rules: []events.RuleResult{}, Champion: in.Champion, PromotionSequence: in.PromotionSequence,
		HoldoutRows: in.HoldoutRows, Metrics: finite(in.Metrics), ChampionMetrics: finite(in.ChampionMetrics),
	}
	rules, passed := thresholdRules(in)
	out.Rules = append(out.Rules, rules...)
	if in.InputsCompared {
		out.Rules = append(out.Rules, inputRule(in.Inputs))
	}
	comparable, better := compare(out, in)
	out.Verdict, out.Reason, out.Detail = decide(in, passed, comparable, better)
	if !in.Measured && in.Unusable == "" && !in.Refuted {
		out.Detail = joinDetail(out.Detail, "figures are the run's own, there is no holdout to measure them on")
	}
	return out
}

func decide(in GateInput, passed, comparable, better bool) (events.Verdict, string, string) {
	switch {
	case in.Refuted:
		return events.VerdictRejected, ReasonRefuted, "a rollback refuted these bytes"
	case in.Unusable != "":
		return events.VerdictRejected, ReasonUnusable, in.Unusable
	case !passed:
		return events.VerdictRejected, ReasonBelowThreshold, ""
	case in.SpecDiffers:
		return events.VerdictStaged, ReasonSpecDiffers, "the run followed another spec than this registry's"
	case len(in.Inputs) > 0:
		return events.VerdictStaged, ReasonSignature, "Production does not take " + strings.Join(in.Inputs, ", ")
	case in.TargetStage != events.StageProduction:
		return events.VerdictStaged, ReasonTargetStaging, ""
	case in.Promotion == spec.PromotionManual:
		return events.VerdictStaged, ReasonManual, "the spec leaves promotion to people"
	case !in.Measured:
		return events.VerdictStaged, ReasonNoHoldout, "the run has no holdout"
	case in.Champion == 0 && in.Withdrawn:
		return events.VerdictStaged, ReasonWithdrawn, "the model was withdrawn and nobody asked for this run since: promote it by hand"
	case in.Champion == 0:
		return events.VerdictPromotable, ReasonFirst, ""
	case !comparable:
		return events.VerdictStaged, ReasonNoHoldout, in.Incomparable
	case better:
		return events.VerdictPromotable, ReasonBetter, ""
	}
	return events.VerdictNotPromoted, ReasonNotBetter, ""
}

// requested reports whether a person or program asked for the run, which began after a sequence of LIFECYCLE. What was under way before
// does not count: who asked for it did not know yet what happened there.
func requested(run Run, after uint64) bool {
	return run.Began > after && run.Completed != nil &&
		slices.ContainsFunc(run.Completed.Causes, func(c events.Cause) bool { return c.Kind == events.CauseRequested })
}

// thresholdRules returns the staging rules and whether all hold; no rule at all holds.
func thresholdRules(in GateInput) ([]events.RuleResult, bool) {
	passed := true
	var rules []events.RuleResult
	for _, t := range in.Gates.Staging {
		r := events.RuleResult{
			Rule: fmt.Sprintf("%s >= %s", t.Metric, number(t.Min)), Metric: t.Metric, Value: value(in.Metrics, t.Metric), Against: &t.Min,
		}
		r.Passed = r.Value != nil && *r.Value >= t.Min
		passed = passed && r.Passed
		rules = append(rules, r)
	}
	return rules, passed
}

// againstProduction ends the rules that compare with Production.
const againstProduction = " production"

// inputRule is the rule of signatures: the number of inputs that Production does not take.
func inputRule(inputs []string) events.RuleResult {
	n, none := float64(len(inputs)), 0.0
	return events.RuleResult{
		Rule: "inputs beyond those of" + againstProduction, Metric: "signature", Value: &n, Against: &none, Passed: len(inputs) == 0,
	}
}

// newInputs returns the inputs that a challenger needs and Production lacks or has with another type, with the types, in the challenger's order.
func newInputs(challenger, production model.Columns) []string {
	var out []string
	add := func(names, same, other []string, kind, otherKind string) {
		for _, name := range names {
			switch {
			case slices.Contains(same, name):
			case slices.Contains(other, name):
				out = append(out, fmt.Sprintf("%s as a %s (it takes a %s)", name, kind, otherKind))
			default:
				out = append(out, fmt.Sprintf("%s, a %s", name, kind))
			}
		}
	}
	add(challenger.Numeric, production.Numeric, production.Categorical, "number", "word")
	add(challenger.Categorical, production.Categorical, production.Numeric, "word", "number")
	return out
}

// compare adds the comparison with Production. comparable is false if there is a Production and either figure is missing.
func compare(out *events.ModelGated, in GateInput) (comparable, better bool) {
	metric := in.Gates.Production.Metric
	if in.Champion == 0 || in.Unusable != "" {
		return in.Champion == 0, false
	}
	sign, rule := 1.0, metric+" >"+againstProduction
	if spec.LessIsBetter(metric) {
		sign, rule = -1, metric+" <"+againstProduction
	}
	r := events.RuleResult{
		Rule: rule, Metric: metric, Value: value(in.Metrics, metric), Against: value(in.ChampionMetrics, metric),
	}
	comparable = in.Measured && in.Incomparable == "" && r.Value != nil && r.Against != nil
	r.Passed = comparable && sign**r.Value > sign**r.Against
	out.Rules = append(out.Rules, r)
	return comparable, r.Passed
}

// value returns the metric, or nil if it is missing or not finite.
func value(metrics map[string]float64, name string) *float64 {
	v, ok := metrics[name]
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// finite returns a copy without the values that JSON can't hold.
func finite(metrics map[string]float64) map[string]float64 {
	out := make(map[string]float64, len(metrics))
	for name := range metrics {
		if v := value(metrics, name); v != nil {
			out[name] = *v
		}
	}
	return out
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func joinDetail(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
