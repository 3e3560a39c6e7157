package spec

// Calibration says how the trees' scores become probabilities.
type Calibration string

const (
	// CalibrationNone takes the logistic function of the trees' margin as the probability. It is the default: trees fitted to the
	// logistic loss are calibrated unless they are overfit or their positive rows were given more weight.
	CalibrationNone Calibration = "none"
	// CalibrationSigmoid fits a straight line through the margins (Platt); two parameters, so a few hundred rows are enough.
	CalibrationSigmoid Calibration = "sigmoid"
	// CalibrationIsotonic fits any nondecreasing curve; it needs a thousand rows and more.
	CalibrationIsotonic Calibration = "isotonic"
)

// Learner holds the parameters of the trees.
type Learner struct {
	Trees               int     `yaml:"trees"`                       // upper bound
	LearningRate        float64 `yaml:"learning_rate"`               // (0, 1]
	MaxDepth            int     `yaml:"max_depth"`                   // 0 = no bound
	MaxLeaves           int     `yaml:"max_leaves"`                  // 0 = 2^max_depth
	L1                  float64 `yaml:"l1" omit:"0"`                 // >= 0, default 0
	L2                  float64 `yaml:"l2"`                          // >= 0
	MinChildWeight      float64 `yaml:"min_child_weight"`            // sum of hessians
	MinChildRows        int     `yaml:"min_child_rows"`              // >= 1
	MinGain             float64 `yaml:"min_gain"`                    // >= 0
	Subsample           float64 `yaml:"subsample"`                   // share of rows per tree, (0, 1]
	ColumnSample        float64 `yaml:"column_sample"`               // share of columns per tree, (0, 1]
	ColumnSampleNode    float64 `yaml:"column_sample_node" omit:"1"` // share of these per split, (0, 1]; default 1
	MaxBins             int     `yaml:"max_bins"`                    // 2..65535
	EarlyStoppingRounds int     `yaml:"early_stopping_rounds"`       // 0 = off: all trees are kept
	Seed                uint64  `yaml:"seed"`
	// Folds is the number of folds that the rows of training and validation are dealt to, by a hash of the entity. Scores of rows
	// by trees that never saw them then choose the number of trees, the calibration and the threshold, and the trees are fitted once
	// more to all of these rows. 0 (default) leaves the validation part out of training and chooses on that one, for data so big that
	// folds+1 fits cost too much; else 2 to 20.
	Folds int `yaml:"folds" omit:"0"`
	// PositiveWeight multiplies the weight of positive rows, in [0.001, 1000]; default 1. Probabilities are then too high: see Calibration.
	PositiveWeight float64 `yaml:"positive_weight" omit:"1"`
	// BaseScore is the log-odds that the trees start from, in [-10, 10]; nil (default) is the log-odds of the positive share of the training rows.
	// Far above it the first trees overshoot, and early stopping may end with them.
	BaseScore *float64 `yaml:"base_score"`
	// Monotone names columns along which the score must not fall or rise; nil = none.
	Monotone *Monotone `yaml:"monotone"`
	// Interactions lists the sets of columns that may meet on a path of a tree; a column in no set meets no other. Empty = all may.
	// A derived feature is a meeting of its columns, wherever it stands; a set that names it must name these too.
	Interactions [][]string `yaml:"interactions" omit:"[]"`
	// CategoricalSplits says how trees split columns of native encoding; nil = the defaults of DefaultCategoricalSplits.
	CategoricalSplits *CategoricalSplits `yaml:"categorical_splits"`
}

// Monotone names numeric columns, derived features of them and count_equal features: the score never falls (Increasing) or never
// rises (Decreasing) as the value does, all else equal. A column is named once. "All else" are the other columns of the record, so a
// derived feature of a named column must be named as well, in the direction that follows: the same one for sum, log1p, above_median
// and the first column of difference, the opposite one for the second. With ratio, product and count_equal none follows from the
// column's, and the constraint is refused. Between a value and a missing one (log1p of a negative number, too) there is no order.
type Monotone struct {
	Increasing []string `yaml:"increasing" omit:"[]"`
	Decreasing []string `yaml:"decreasing" omit:"[]"`
}

// CategoricalSplits are the parameters of splits that send sets of categories to a side.
type CategoricalSplits struct {
	// Smooth is added to a category's sum of second derivatives where categories are put in order, so that rare ones stay in the middle; a
	// category of fewer rows takes no part; >= 0.
	Smooth float64 `yaml:"smooth"`
	// L2 is added to learner.l2 in splits that put categories in order; >= 0.
	L2 float64 `yaml:"l2"`
	// MaxOneHot is the number of categories up to which each is tried against all others instead; >= 1.
	MaxOneHot int `yaml:"max_onehot"`
	// MaxSet bounds the categories that go left; >= 1.
	MaxSet int `yaml:"max_set"`
	// MinRows is the least number of rows between one split tried and the next along the order, and on the right side; >= 1.
	MinRows int `yaml:"min_rows"`
}

// DefaultCategoricalSplits returns the values of LightGBM: smoothing by 10, l2 of 10, one against the others up to 4
// categories, sets of up to 32, at least 100 rows from one split tried to the next.
func DefaultCategoricalSplits() CategoricalSplits {
	return CategoricalSplits{Smooth: 10, L2: 10, MaxOneHot: 4, MaxSet: 32, MinRows: 100}
}

// Rule names what the threshold makes best.
type Rule string

const (
	// RuleF1 takes the threshold with the greatest F1 of the positive class. It is the default.
	RuleF1 Rule = "f1"
	// RuleCost takes the threshold with the least total cost.
	RuleCost Rule = "cost"
	// RuleProfit takes the threshold with the greatest expected profit of a retention campaign (Verbraken, Verbeke, Baesens 2013).
	RuleProfit Rule = "profit"
)

// Decision says from which score on a row counts as positive. The threshold is chosen on rows that the trees which score them did
// not see, never on the holdout.
type Decision struct {
	By     Rule    `yaml:"by"`     // default f1
	Cost   *Costs  `yaml:"cost"`   // of cost, required there
	Profit *Profit `yaml:"profit"` // of profit; nil = the defaults
}

// Costs are what one row costs, in any unit: a negative cost is a gain. A wrong answer must cost more than the right one.
type Costs struct {
	TruePositive  float64 `yaml:"true_positive"`
	FalsePositive float64 `yaml:"false_positive"`
	TrueNegative  float64 `yaml:"true_negative"`
	FalseNegative float64 `yaml:"false_negative"`
}

// Profit is a campaign that makes everyone above the threshold an offer. Amounts are in one unit.
type Profit struct {
	LifetimeValue float64 `yaml:"lifetime_value"` // of a customer who is kept
	Incentive     float64 `yaml:"incentive"`      // what the offer costs when it is taken
	Contact       float64 `yaml:"contact"`        // what making it costs
	// Alpha and Beta shape the Beta distribution of the share of would-be churners who take the offer and stay.
	Alpha float64 `yaml:"alpha"`
	Beta  float64 `yaml:"beta"`
}

// DefaultProfit returns the values of the paper: a lifetime value of 200, an offer of 10, a contact for 1, and an acceptance of
// Beta(6, 14), 30 % in the mean.
func DefaultProfit() Profit {
	return Profit{LifetimeValue: 200, Incentive: 10, Contact: 1, Alpha: 6, Beta: 14}
}

// Rule returns what the threshold makes best: F1 where nothing is said. It may be called on nil.
func (d *Decision) Rule() Rule {
	if d == nil {
		return RuleF1
	}
	return d.By
}

func (l Learner) clone() Learner {
	l.BaseScore = clonePointer(l.BaseScore)
	l.CategoricalSplits = clonePointer(l.CategoricalSplits)
	if l.Monotone != nil {
		l.Monotone = &Monotone{Increasing: cloneSlice(l.Monotone.Increasing), Decreasing: cloneSlice(l.Monotone.Decreasing)}
	}
	l.Interactions = cloneSlice(l.Interactions)
	for i := range l.Interactions {
		l.Interactions[i] = cloneSlice(l.Interactions[i])
	}
	return l
}

func (d *Decision) clone() *Decision {
	c := clonePointer(d)
	if c != nil {
		c.Cost, c.Profit = clonePointer(c.Cost), clonePointer(c.Profit)
	}
	return c
}
