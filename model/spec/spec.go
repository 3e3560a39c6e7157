package spec

import (
	"time"
)

// Promotion says who moves a version that passed its gates to Production.
type Promotion string

const (
	// PromotionAuto lets the registry promote a version that passes all gates. It is the default.
	PromotionAuto Promotion = "auto"
	// PromotionManual leaves every version in Staging until a person promotes it.
	PromotionManual Promotion = "manual"
)

// The formats of a data file. An empty format means that the reader decides by the first byte of the content.
const (
	FormatCSV   = "csv"
	FormatJSONL = "jsonl"
)

// The types of a numeric column, beside "" for any number.
const (
	NumberInteger = "integer" // whole numbers
	NumberBoolean = "boolean" // true and false, as 1 and 0
)

// The choices of Features.
const (
	ImputeMedian    = "median"
	ImputeNone      = "none"
	ScaleStandard   = "standard"
	ScaleNone       = "none"
	EncodingOrdinal = "ordinal" // one feature per column: the code of its level
	EncodingOneHot  = "onehot"  // one feature per level, one for unseen and one for missing
	EncodingTarget  = "target"  // one feature per column: the smoothed share of positive labels among the rows of its level
	EncodingNative  = "native"  // one feature per column: a code without an order, for trees that split sets of categories
)

// Op is the operation of a derived feature.
type Op string

const (
	// OpRatio is a / b; missing where b is 0.
	OpRatio Op = "ratio"
	// OpProduct is the product of two or more columns.
	OpProduct Op = "product"
	// OpDifference is a - b.
	OpDifference Op = "difference"
	// OpSum is the sum of two or more columns.
	OpSum Op = "sum"
	// OpLog1p is ln(1 + a); missing where a is negative.
	OpLog1p Op = "log1p"
	// OpCountEqual counts the columns whose value is one of Equals.
	OpCountEqual Op = "count_equal"
	// OpAboveMedian is 1 where a is above its median over the training rows, else 0.
	OpAboveMedian Op = "above_median"
)

// Action is what an alert of a monitor leads to.
type Action string

const (
	// ActionRetrain makes an alert a cause for a training run.
	ActionRetrain Action = "retrain"
	// ActionReport publishes the alert and starts nothing.
	ActionReport Action = "report"
)

// The names of monitored things that are no columns.
const (
	// ScoreColumn is the model's own score as a monitored column.
	ScoreColumn = "_score"
	// PerformanceColumn names the performance monitor in alerts.
	PerformanceColumn = "_performance"
)

// AnyOther as a target's negative value means every value that is not the positive one.
const AnyOther = "*"

// Spec describes one model. Values made by Parse, Telco and Infer are complete and valid; a hand-made one starts from
// Default and is checked by Validate.
type Spec struct {
	Name         string       `yaml:"name"`                    // [A-Za-z0-9_-]+, required
	Experiment   string       `yaml:"experiment"`              // default Name + "-training"
	Promotion    Promotion    `yaml:"promotion"`               // default auto
	Dataset      Dataset      `yaml:"dataset"`                 // where the training file is
	Columns      Columns      `yaml:"columns"`                 // what its columns mean
	Features     Features     `yaml:"features"`                // how columns become numbers
	Learner      Learner      `yaml:"learner"`                 // how trees are grown
	Calibration  Calibration  `yaml:"calibration" omit:"none"` // how the trees' scores become probabilities; default none
	Threshold    *Decision    `yaml:"threshold"`               // from which score on a row counts as positive; nil = the best F1
	Split        Split        `yaml:"split"`                   // which rows are held out
	Gates        Gates        `yaml:"gates"`                   // what a version must reach
	Rollout      Rollout      `yaml:"rollout" omit:""`         // how it becomes Production then, and what ends that; default direct
	Drift        Drift        `yaml:"drift"`                   // what is watched in production
	Retrain      Retrain      `yaml:"retrain"`                 // when causes become runs
	Labels       Labels       `yaml:"labels"`                  // when outcomes are known
	Expectations Expectations `yaml:"expectations"`            // what training data must satisfy
}

// Dataset names the training file. It is not part of the digest: moving a file changes no rule.
type Dataset struct {
	Path      string `yaml:"path"`      // "" = given by the caller
	Format    string `yaml:"format"`    // csv or jsonl; "" = decided by the content
	Delimiter string `yaml:"delimiter"` // one character, default ","
}

// Comma returns the delimiter as a rune, "," where none is set.
func (d Dataset) Comma() rune {
	for _, r := range d.Delimiter {
		return r
	}
	return ','
}

// Columns says what the columns of the data mean. A column that is named nowhere is accepted and not used.
type Columns struct {
	ID          string        `yaml:"id"`          // "" = a digest of the row's values is its id
	Target      Target        `yaml:"target"`      // required
	Missing     []string      `yaml:"missing"`     // words that mean "no value", beside the empty one
	Numeric     []Numeric     `yaml:"numeric"`     // in feature order
	Categorical []Categorical `yaml:"categorical"` // in feature order
	Ignored     []string      `yaml:"ignored"`     // known and not used
}

// Target is the column to predict.
type Target struct {
	Name     string `yaml:"name"`
	Positive string `yaml:"positive"` // the value that counts as 1
	// Negative is the value that counts as 0; "*" takes every other value. Where it is left out, it is the usual
	// counterpart of Positive (Yes/No, true/false, 1/0, Y/N, T/F); a positive value without one needs it written.
	Negative string `yaml:"negative"`
}

// Numeric is a column of numbers. A value outside its bounds (both inclusive) is a fault in training data.
type Numeric struct {
	Name string   `yaml:"name"`
	Min  *float64 `yaml:"min"` // nil = unbounded
	Max  *float64 `yaml:"max"` // nil = unbounded
	// Type narrows what is a number here: "integer" takes whole ones, "boolean" true and false, which are 1 and 0; "" (default) any.
	Type string `yaml:"type" omit:"\"\""`
	// Optional says that a record may leave the column out, and a file too; the value is missing then.
	Optional bool `yaml:"optional" omit:"false"`
}

// Categorical is a column of words.
type Categorical struct {
	Name      string   `yaml:"name"`
	Values    []string `yaml:"values"`     // the closed set of expected values; empty = any
	MaxLevels int      `yaml:"max_levels"` // levels beyond this, the rarest first, count as unseen; default 64
	// Encoding is this column's own: ordinal, onehot, target or native; "" (default) = features.encoding.
	Encoding string `yaml:"encoding" omit:"\"\""`
	// Optional says that a record may leave the column out, and a file too; the value is missing then.
	Optional bool `yaml:"optional" omit:"false"`
}

// Features says how columns become numbers.
type Features struct {
	Impute   string    `yaml:"impute"`   // median (default) or none
	Scale    string    `yaml:"scale"`    // standard (default) or none
	Encoding string    `yaml:"encoding"` // of categorical columns without one of their own: ordinal (default), onehot, target or native
	Derived  []Derived `yaml:"derived"`
	// TargetSmoothing is m in (n*mean + m*prior) / (n + m), the value of a level of n rows with target encoding: the prior, which
	// is the mean of all rows, counts as m more rows. In [0, 1e9]; default 10.
	TargetSmoothing float64 `yaml:"target_smoothing" omit:"10"`
	// TargetFolds is the number of folds in which target encoding values training rows by the labels of the others; 2 to 100,
	// default 5.
	TargetFolds int `yaml:"target_folds" omit:"5"`
}

// EncodingOf returns the encoding that holds for a categorical column: its own, or the one for all.
func (s *Spec) EncodingOf(c Categorical) string {
	if c.Encoding != "" {
		return c.Encoding
	}
	return s.Features.Encoding
}

// Derived is a feature computed from raw values, before imputation. With a missing input it is missing.
type Derived struct {
	Name   string   `yaml:"name"`
	Op     Op       `yaml:"op"`
	Of     []string `yaml:"of"`
	Equals []string `yaml:"equals"` // for count_equal
}

// Split says which rows are held out. Rows are placed by a hash of salt and id.
type Split struct {
	Holdout    float64 `yaml:"holdout"`    // share of all rows, [0.01, 0.9]
	Validation float64 `yaml:"validation"` // share of the rest, [0.01, 0.9]; trained on too where learner.folds is not 0, and may be 0 then
	Salt       string  `yaml:"salt"`       // default Name
}

// Gates say what a version must reach.
type Gates struct {
	Staging    []Threshold `yaml:"staging"`    // all must hold
	Production Comparison  `yaml:"production"` // against the version in Production
}

// Threshold is met when the metric is at least Min. Metrics of which less is better can't be asked for.
type Threshold struct {
	Metric string  `yaml:"metric"` // as in Comparison
	Min    float64 `yaml:"min"`
}

// Comparison is met when the challenger's metric is strictly better than Production's on the same rows: greater, or less where
// LessIsBetter.
type Comparison struct {
	// Metric is f1_churn (default), f1_at_half, roc_auc, pr_auc, precision, recall, accuracy, log_loss, brier, with threshold by profit
	// profit_per_row, or by cost cost_per_row.
	Metric string `yaml:"metric"`
}

// Drift says what is watched in the traffic and when it speaks.
type Drift struct {
	Window      int           `yaml:"window"`      // predictions
	MaxAge      time.Duration `yaml:"max_age"`     // older predictions leave the window
	Every       int           `yaml:"every"`       // predictions between evaluations
	MinRows     int           `yaml:"min_rows"`    // fewer give no verdict
	Alert       float64       `yaml:"alert"`       // PSI above it is drift
	Clear       float64       `yaml:"clear"`       // PSI below it ends it
	Confidence  float64       `yaml:"confidence"`  // of the chi-square bound
	Consecutive int           `yaml:"consecutive"` // evaluations in a row before an alert
	Repeat      time.Duration `yaml:"repeat"`      // between alerts while firing
	Bins        int           `yaml:"bins"`        // of a numeric column
	EmptyShare  float64       `yaml:"empty_share"` // what an empty bin counts as
	Monitors    []Monitor     `yaml:"monitors"`
	Performance *Performance  `yaml:"performance"` // nil = off
}

// Monitor watches one column, or the score as "_score".
type Monitor struct {
	Column string `yaml:"column"`
	Action Action `yaml:"action"` // default report
}

// Performance watches the live F1 once labels are known.
type Performance struct {
	Every          int     `yaml:"every"`           // joined labels between evaluations
	Window         int     `yaml:"window"`          // joined labels
	MinRows        int     `yaml:"min_rows"`        // fewer give no verdict
	MinPositives   int     `yaml:"min_positives"`   // fewer give no verdict
	Drop           float64 `yaml:"drop"`            // F1 on the holdout minus F1 live, above it is a loss
	Clear          float64 `yaml:"clear"`           // below it ends it
	StandardErrors float64 `yaml:"standard_errors"` // the drop must also exceed so many
	Consecutive    int     `yaml:"consecutive"`     // evaluations that share no row
	Action         Action  `yaml:"action"`          // default report
}

// Retrain says when causes become runs.
type Retrain struct {
	Debounce   time.Duration `yaml:"debounce"`     // between the first cause and the run
	Cooldown   time.Duration `yaml:"cooldown"`     // between two runs for drift
	MinNewRows int           `yaml:"min_new_rows"` // labelled rows after the alert that a run for drift waits for
	Schedule   *Schedule     `yaml:"schedule"`     // nil = none
}

// Schedule starts runs by the clock.
type Schedule struct {
	Cron        string `yaml:"cron"`         // six fields, seconds first
	TimeZone    string `yaml:"time_zone"`    // IANA name, default UTC
	TargetStage string `yaml:"target_stage"` // production (default) or staging
}

// Labels says when outcomes are known.
type Labels struct {
	Horizon time.Duration `yaml:"horizon"` // from prediction to outcome; 0 = at once
	Slack   time.Duration `yaml:"slack"`   // how far around the horizon a label still matches
	Grace   time.Duration `yaml:"grace"`   // how long after it a label is waited for
}

// Expectations are what training data must satisfy before anything is fitted to it.
type Expectations struct {
	MinRows          int       `yaml:"min_rows"`
	UniqueID         bool      `yaml:"unique_id"`
	PositiveShareMin float64   `yaml:"positive_share_min"`
	PositiveShareMax float64   `yaml:"positive_share_max"`
	MaxQuarantined   float64   `yaml:"max_quarantined"` // share of faulty rows
	MaxUnseen        float64   `yaml:"max_unseen"`      // share of values outside a column's closed set
	NotNull          []NotNull `yaml:"not_null"`
}

// NotNull is met when at least the share Mostly of the column's values is present.
type NotNull struct {
	Column string  `yaml:"column"`
	Mostly float64 `yaml:"mostly"` // default 1
}

// Clone returns a deep copy.
func (s *Spec) Clone() *Spec {
	c := *s
	c.Columns.Missing = cloneSlice(s.Columns.Missing)
	c.Columns.Ignored = cloneSlice(s.Columns.Ignored)
	c.Columns.Numeric = cloneSlice(s.Columns.Numeric)
	for i := range c.Columns.Numeric {
		c.Columns.Numeric[i].Min = clonePointer(c.Columns.Numeric[i].Min)
		c.Columns.Numeric[i].Max = clonePointer(c.Columns.Numeric[i].Max)
	}
	c.Columns.Categorical = cloneSlice(s.Columns.Categorical)
	for i := range c.Columns.Categorical {
		c.Columns.Categorical[i].Values = cloneSlice(c.Columns.Categorical[i].Values)
	}
	c.Features.Derived = cloneSlice(s.Features.Derived)
	for i := range c.Features.Derived {
		c.Features.Derived[i].Of = cloneSlice(c.Features.Derived[i].Of)
		c.Features.Derived[i].Equals = cloneSlice(c.Features.Derived[i].Equals)
	}
	c.Learner = s.Learner.clone()
	c.Threshold = s.Threshold.clone()
	c.Gates.Staging = cloneSlice(s.Gates.Staging)
	c.Drift.Monitors = cloneSlice(s.Drift.Monitors)
	c.Drift.Performance = clonePointer(s.Drift.Performance)
	c.Retrain.Schedule = clonePointer(s.Retrain.Schedule)
	c.Expectations.NotNull = cloneSlice(s.Expectations.NotNull)
	return &c
}

func cloneSlice[T any](s []T) []T {
	if s == nil {
		return nil
	}
	return append(make([]T, 0, len(s)), s...)
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
