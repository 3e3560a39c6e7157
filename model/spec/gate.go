package spec

// The metrics of a holdout that depend on the threshold's rule, for the row in the mean.
const (
	// MetricProfit is what the campaign of threshold.profit brings at the mean acceptance; only with by: profit.
	MetricProfit = "profit_per_row"
	// MetricCost is what the outcomes cost by threshold.cost; only with by: cost. Less is better.
	MetricCost = "cost_per_row"
)

// gateMetrics are the metrics that are measured whatever the threshold's rule.
var gateMetrics = []string{
	"f1_churn", "f1_at_half", "roc_auc", "pr_auc", "precision", "recall", "accuracy", "log_loss", "brier",
}

// LessIsBetter reports whether a lower value of the metric is the better one.
func LessIsBetter(metric string) bool {
	return metric == "log_loss" || metric == "brier" || metric == MetricCost
}

// Outcomes counts rows by predicted and observed class.
type Outcomes struct {
	TP, FP, TN, FN float64
}

// PerRow returns the name and value of what the rule counts per row: [MetricCost], [MetricProfit], or no name with F1 and without rows. It may
// be called on nil.
//
// The cost is the sum of the four counts times their costs, over the rows. The profit of a row found rightly is a (L - I) - C, with the
// mean acceptance a = alpha / (alpha + beta), the lifetime value L, the incentive I and the contact C; of a row found wrongly it is -(I + C),
// as who would have stayed takes the offer; the others bring nothing.
func (d *Decision) PerRow(o Outcomes) (name string, value float64) {
	rows := o.TP + o.FP + o.TN + o.FN
	if !(rows > 0) {
		return "", 0
	}
	switch d.Rule() {
	case RuleCost:
		c := d.Cost
		found := float64(c.TruePositive*o.TP) + float64(c.FalsePositive*o.FP)
		return MetricCost, (found + float64(c.TrueNegative*o.TN) + float64(c.FalseNegative*o.FN)) / rows
	case RuleProfit:
		p := DefaultProfit()
		if d.Profit != nil {
			p = *d.Profit
		}
		accept := p.Alpha / (p.Alpha + p.Beta)
		right := float64(accept*(p.LifetimeValue-p.Incentive)) - p.Contact
		return MetricProfit, (float64(o.TP*right) - float64(o.FP*(p.Incentive+p.Contact))) / rows
	}
	return "", 0
}
