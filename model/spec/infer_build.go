package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// yesWords are the values that say yes, in lower case.
var yesWords = []string{
	"1", "yes", "y", "true", "t", "positive", "pos", "churn", "churned", "left", "lost", "exited", "attrited",
	"attrited customer", "cancelled", "canceled", "terminated", "closed", "default", "defaulted", "fraud", "fraudulent",
}

// builder turns what was seen into a spec.
type builder struct {
	options InferOptions
	scan    *scanned
	spec    *Spec
	notes   []string
	faulty  int64 // rows that training is expected to quarantine, at most
	rarer   int64 // rows of the label that fewer have
	short   []string
}

func (b *builder) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

func (b *builder) build() error {
	o, s := &b.options, b.spec
	if s.Name = o.Name; s.Name == "" {
		s.Name = nameOf(o.Path)
	}
	s.Dataset.Path, s.Dataset.Delimiter = o.Path, b.scan.delimiter
	if b.scan.delimiter != "," && o.Delimiter == "" {
		b.note("The delimiter is %q.", b.scan.delimiter)
	}
	if o.MaxLevels == 0 {
		o.MaxLevels = DefaultMaxLevels
	}
	if err := b.target(); err != nil {
		return err
	}
	b.id()
	for _, c := range b.scan.columns {
		if c.name != o.Target && (c.name != o.ID || o.ID == "") {
			b.feature(c)
		}
	}
	if len(s.Columns.Numeric)+len(s.Columns.Categorical) == 0 {
		return fmt.Errorf("no column is left to learn from: %s", strings.Join(b.notes, " "))
	}
	if len(b.short) > 0 {
		b.note("Two-valued columns are categorical: %s.", strings.Join(b.short, ", "))
	}
	b.rules()
	return nil
}

// target decides which of the two labels is the positive one.
func (b *builder) target() error {
	c := b.scan.column(b.options.Target)
	seen := c.values()
	switch {
	case c.present == 0:
		return fmt.Errorf("target %q has no values", c.name)
	case c.levels() == 1:
		return fmt.Errorf("target %q has a single value in all rows: %s; a model needs two to tell apart", c.name, seen)
	case c.levels() > 2:
		return fmt.Errorf("target %q has %d different values, a model of this kind needs exactly two: %s", c.name, c.levels(), seen)
	}
	words := slices.Sorted(maps.Keys(c.words))
	at := -1
	for i, w := range words {
		wanted := b.options.Positive != "" && SameWord(cleanText(b.options.Positive), w)
		guessed := b.options.Positive == "" && slices.Contains(yesWords, strings.ToLower(w))
		if !wanted && !guessed {
			continue
		}
		if at >= 0 {
			return fmt.Errorf("target %q: both values could be the positive one: %s; choose one with --positive", c.name, seen)
		}
		at = i
	}
	switch {
	case at < 0 && b.options.Positive != "":
		return fmt.Errorf("target %q has no value %q; there are %s", c.name, cut(b.options.Positive), seen)
	case at < 0:
		return fmt.Errorf("target %q: which value is the positive one? There are %s; choose one with --positive", c.name, seen)
	}
	t := &b.spec.Columns.Target
	t.Name, t.Positive, t.Negative = c.name, c.spelling[words[at]], c.spelling[words[1-at]]
	positives := c.words[words[at]]
	b.note("The target is %q: %q is positive (%d of %d rows, %.1f %%), %q is negative.",
		c.name, t.Positive, positives, c.present, 100*float64(positives)/float64(c.present), t.Negative)
	b.rarer = min(positives, c.present-positives)
	if b.rarer < 50 {
		b.note("Only %d rows have the rarer label: expect figures that vary.", b.rarer)
	}
	if c.missing > 0 {
		b.faulty += c.missing
		b.note("%d rows have no label and are left out of training.", c.missing)
	}
	return nil
}

// values lists what a column holds, the most frequent first.
func (c *column) values() string {
	words := slices.SortedFunc(maps.Keys(c.words), func(x, y string) int {
		if c.words[x] != c.words[y] {
			return int(c.words[y] - c.words[x])
		}
		return strings.Compare(x, y)
	})
	const most = 10
	parts := make([]string, 0, most+1)
	for i, w := range words {
		if i == most {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, fmt.Sprintf("%q (%d rows)", cut(c.spelling[w]), c.words[w]))
	}
	return strings.Join(parts, ", ")
}

func (b *builder) id() {
	name := b.options.ID
	if name == "" {
		b.note("There is no id column: a digest of the row's values is the id. Give one with --id so that retraining recognises a customer whose values changed.")
		return
	}
	b.spec.Columns.ID = name
	c := b.scan.column(name)
	repeated := b.scan.repeatedIDs()
	switch {
	case repeated > 0:
		b.note("Column %q is the id and has %d repeated values: rows of the same id stay on the same side of the split.", name, repeated)
	case b.scan.rows > exactIDs:
		b.note("Column %q is the id. The file is too long to say whether it is unique, so that is not expected.", name)
	default:
		b.spec.Expectations.UniqueID = true
		b.note("Column %q is the id; it is unique, and a file in which it is not will be refused.", name)
	}
	// An id is free text: the marker words of other columns are ids here, only an empty one is missing.
	if blank := b.scan.rows - int64(len(b.scan.ids)); blank > 0 && b.scan.rows <= exactIDs {
		b.faulty += blank
		b.note("%d rows have no %s and are left out of training.", blank, c.name)
	}
}

// feature places one column and says why where it is not obvious.
func (b *builder) feature(c *column) {
	columns := &b.spec.Columns
	ignore := func(format string, args ...any) {
		columns.Ignored = append(columns.Ignored, c.name)
		b.note("Column %q is ignored: %s.", c.name, fmt.Sprintf(format, args...))
	}
	var unusable faults
	switch {
	case c.twice:
		if i := slices.Index(b.scan.duplicates, c.name); i >= 0 {
			b.note("Column %q is there more than once and is not used.", c.name)
			b.scan.duplicates = slices.DeleteFunc(b.scan.duplicates, func(s string) bool { return s == c.name })
		}
	case c.name == "":
		b.note("A column without a name is not used.")
	case !columnName(&unusable, "", c.name):
		b.note("A column is not used for its name: %s.", unusable[0].Msg)
	case c.present == 0:
		ignore("it is empty")
	case c.levels() == 1 && c.missing == 0:
		ignore("it has one value in all rows, %s", c.values())
	case namedLikeID(c.name) && c.unique():
		ignore("its name and its values say that it is an id; use it as one with --id")
	case c.dated():
		ignore("it holds dates, which only grow; a column like the days since then can be learnt from")
	case c.numeric() && c.levels() > 2:
		columns.Numeric = append(columns.Numeric, Numeric{Name: c.name})
		if odd := c.present - c.numbers; odd > 0 {
			b.faulty += odd
			b.note("Column %q is numeric but for %d values, the first %q in row %d: their rows are left out of training. Add the word to columns.missing if it means that the value is not known.",
				c.name, odd, cut(c.oddValue), c.oddRow)
		}
	case c.commaed() && !c.numeric() && c.levels() > 2:
		ignore("it holds numbers that are written with a comma, the first %q in row %d; write them with a decimal point and without separators of thousands",
			cut(c.oddValue), c.oddRow)
	case !c.numeric() && c.levels() > 20 && (c.unique() || (c.over && c.levels()*2 > c.present)):
		ignore("nearly every value is another (about %d in %d), as in free text or an id", c.levels(), c.present)
	default:
		b.category(c)
	}
}

func (b *builder) category(c *column) {
	k := Categorical{Name: c.name, MaxLevels: b.options.MaxLevels}
	if c.levels() <= 2 {
		b.short = append(b.short, fmt.Sprintf("%q", c.name))
		// A closed set makes 1, 1.0 and true, True the same, which differ between a file and a request.
		words := slices.Sorted(maps.Keys(c.words))
		if rewritable(words) {
			for _, w := range words {
				k.Values = append(k.Values, c.spelling[w])
			}
		}
	}
	if c.coded > 0 {
		b.note("Column %q is categorical: numbers with leading zeros are codes.", c.name)
	}
	if c.levels() > int64(k.MaxLevels) {
		b.note("Column %q has about %d levels, of which the %d most frequent are kept apart.", c.name, c.levels(), k.MaxLevels)
	}
	b.spec.Columns.Categorical = append(b.spec.Columns.Categorical, k)
}

// rewritable reports whether all words are numbers or truth values, whose spelling differs between tools.
func rewritable(words []string) bool {
	for _, w := range words {
		if w != "true" && w != "false" && !isNumber(w) {
			return false
		}
	}
	return true
}

const (
	// foldsFrom is how many rows of the rarer label it takes to deal some to each of five folds after the holdout took its share.
	foldsFrom = 25
	// foldsUpTo is up to how many rows six fits are a matter of seconds, and a validation part too small a sample to do without them.
	foldsUpTo = 1_000_000
)

// rules fills gates, drift, learner and expectations for a file of this size.
func (b *builder) rules() {
	s, rows := b.spec, b.scan.rows+b.scan.badRows
	s.Gates.Staging = []Threshold{{Metric: "roc_auc", Min: 0.5}}
	// Leaves of half a percent of the training rows, which are about two thirds of all.
	s.Learner.MinChildRows = int(min(max(rows*2/3/200, 3), 20))
	switch {
	case b.rarer < foldsFrom:
	case rows > foldsUpTo:
		b.note("There are more than %d rows: a validation part says when to stop, which takes a sixth of the time of learner.folds: 5.", foldsUpTo)
	default:
		s.Learner.Folds = 5
	}
	for _, c := range s.Columns.Numeric {
		s.Drift.Monitors = append(s.Drift.Monitors, Monitor{Column: c.Name, Action: ActionRetrain})
	}
	for _, c := range s.Columns.Categorical {
		s.Drift.Monitors = append(s.Drift.Monitors, Monitor{Column: c.Name, Action: ActionReport})
	}
	s.Drift.Monitors = append(s.Drift.Monitors, Monitor{Column: ScoreColumn, Action: ActionReport})
	p := DefaultPerformance()
	p.Action = ActionRetrain
	s.Drift.Performance = &p
	if b.scan.badRows > 0 {
		b.faulty += b.scan.badRows
		b.note("%d rows are no valid CSV and are left out of training; the first: %s.", b.scan.badRows, b.scan.firstBad)
	}
	if share := float64(b.faulty) / float64(rows); share > s.Expectations.MaxQuarantined {
		s.Expectations.MaxQuarantined = float64(min(100, int(share*100)+3)) / 100
		b.note("Up to %g %% of the rows may be left out of training, as about %.1f %% of this file are.",
			100*s.Expectations.MaxQuarantined, 100*share)
	}
	b.note("%d numeric and %d categorical columns are learnt from, %d are ignored.",
		len(s.Columns.Numeric), len(s.Columns.Categorical), len(s.Columns.Ignored))
}
