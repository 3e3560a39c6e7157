package dataset

import (
	"fmt"
	"slices"
	"strings"

	"telco-churn-mlops/model/spec"
)

// The expectations that Check knows.
const (
	ExpectRowCount         = "row_count"         // at least min_rows rows are usable
	ExpectTwoClasses       = "two_classes"       // both labels occur
	ExpectPositiveShare    = "positive_share"    // the positive label's share is within its bounds
	ExpectUniqueID         = "unique_id"         // no id occurs twice
	ExpectQuarantinedShare = "quarantined_share" // few rows are faulty
	ExpectNotNull          = "not_null"          // enough of a column's values are there
	ExpectInSet            = "in_set"            // few of a column's values are outside its closed set
)

// ExpectationResult says whether one expectation holds.
type ExpectationResult struct {
	Expectation string `json:"expectation"`
	Column      string `json:"column,omitempty"`
	Observed    string `json:"observed"`
	Wanted      string `json:"wanted"`
	Success     bool   `json:"success"`
	Blocking    bool   `json:"blocking"` // where it does not hold, the data must not be used
}

// String returns "in_set, column Contract: 3 of 100 values (3 %) ..., want at most 1 %".
func (r ExpectationResult) String() string {
	name := r.Expectation
	if r.Column != "" {
		name += ", column " + r.Column
	}
	return fmt.Sprintf("%s: %s, want %s", name, r.Observed, r.Wanted)
}

// Check holds a loaded table against the spec's expectations, writes each result into the report, and returns a
// *DataError that lists every blocking one that does not hold. Where a table has no rows or only one class, nothing else
// is looked at, as every other figure would follow from that. Both classes are always expected.
//
// A share of missing values counts all rows; a share of values outside a closed set counts those that are there. A value
// outside its set that stays under the bound is a result that holds and says so in Observed.
func Check(t *Table, r *Report, e spec.Expectations) error {
	c := checker{t: t, r: r}
	r.Expectations = nil
	if c.table(e) {
		c.columns(e)
	}
	var failed []ExpectationResult
	for _, x := range r.Expectations {
		if !x.Success && x.Blocking {
			failed = append(failed, x)
		}
	}
	r.Success = len(failed) == 0
	if r.Success {
		return nil
	}
	return &DataError{Message: "the data does not meet its expectations", Failed: failed}
}

type checker struct {
	t *Table
	r *Report
}

func (c *checker) add(name, column string, ok bool, observed, wanted string) {
	c.r.Expectations = append(c.r.Expectations, ExpectationResult{
		Expectation: name, Column: column, Observed: observed, Wanted: wanted, Success: ok, Blocking: true,
	})
}

// table checks what concerns all columns, and reports whether it makes sense to look at single ones.
func (c *checker) table(e spec.Expectations) bool {
	n := c.t.Len()
	want := max(e.MinRows, 1)
	c.add(ExpectRowCount, "", n >= want, fmt.Sprintf("%d usable rows", n), fmt.Sprintf("at least %d", want))
	c.add(ExpectQuarantinedShare, "", c.r.QuarantinedShare() <= e.MaxQuarantined,
		fmt.Sprintf("%d of %d rows (%g %%) are faulty", c.r.Quarantined, c.r.Rows, percent(c.r.QuarantinedShare())),
		fmt.Sprintf("at most %g %%", percent(e.MaxQuarantined)))
	if n == 0 || !c.classes(e) {
		return false
	}
	if e.UniqueID {
		c.add(ExpectUniqueID, c.t.h.id, c.r.DuplicateIDs == 0,
			fmt.Sprintf("%d rows repeat an id", c.r.DuplicateIDs), "none")
	}
	return true
}

func (c *checker) classes(e spec.Expectations) bool {
	counts := [3]int{}
	for _, l := range c.t.labels {
		counts[l]++
	}
	positive, negative := counts[labelPositive], counts[labelNegative]
	labelled := positive + negative
	h := c.t.h
	observed := fmt.Sprintf("%d labels are %s, %d are %s", positive, h.positive, negative, h.negative)
	switch {
	case labelled == 0:
		observed = "no row has a label"
	case positive == 0:
		observed = fmt.Sprintf("single class: all %d labels are %s", labelled, h.negative)
	case negative == 0:
		observed = fmt.Sprintf("single class: all %d labels are %s", labelled, h.positive)
	}
	ok := positive > 0 && negative > 0
	c.add(ExpectTwoClasses, h.target, ok, observed, fmt.Sprintf("both %s and %s", h.positive, h.negative))
	if !ok {
		return false
	}
	share := float64(positive) / float64(labelled)
	c.add(ExpectPositiveShare, h.target, share >= e.PositiveShareMin && share <= e.PositiveShareMax,
		fmt.Sprintf("%d of %d labels (%g %%) are %s", positive, labelled, percent(share), h.positive),
		fmt.Sprintf("%g %% to %g %%", percent(e.PositiveShareMin), percent(e.PositiveShareMax)))
	return true
}

func (c *checker) columns(e spec.Expectations) {
	n := c.t.Len()
	for _, x := range e.NotNull {
		missing := c.missing(x.Column)
		share := float64(n-missing) / float64(n)
		c.add(ExpectNotNull, x.Column, share >= x.Mostly,
			fmt.Sprintf("%d of %d values (%g %%) are missing", missing, n, percent(1-share)),
			fmt.Sprintf("at least %g %% present", percent(x.Mostly)))
	}
	for col, set := range c.t.h.sets {
		if set == nil {
			continue
		}
		present, unseen := 0, 0
		var odd []string
		for word, count := range c.t.Categories(col) {
			if word == "" {
				continue
			}
			present += count
			if _, ok := set[word]; !ok && count > 0 {
				unseen += count
				odd = append(odd, word)
			}
		}
		share := 0.0
		if present > 0 {
			share = float64(unseen) / float64(present)
		}
		c.add(ExpectInSet, c.t.h.categorical[col], share <= e.MaxUnseen,
			fmt.Sprintf("%d of %d values (%g %%) are outside the closed set%s", unseen, present, percent(share), examples(odd)),
			fmt.Sprintf("at most %g %%", percent(e.MaxUnseen)))
	}
}

// missing counts the missing values of a column; a column that the schema does not have counts as missing in every row.
func (c *checker) missing(column string) int {
	s, ok := c.t.h.slots[column]
	switch {
	case ok && s.kind == slotNumeric:
		n := 0
		for _, v := range c.t.num[s.index] {
			if v != v { // NaN
				n++
			}
		}
		return n
	case ok && s.kind == slotCategorical:
		return c.t.Categories(s.index)[""]
	}
	return c.t.Len()
}

// examples names some of the words, in their order, for a message.
func examples(words []string) string {
	if len(words) == 0 {
		return ""
	}
	slices.Sort(words)
	shown := words[:min(len(words), 3)]
	quoted := make([]string, len(shown))
	for i, w := range shown {
		quoted[i] = fmt.Sprintf("%q", cut(w))
	}
	text := " (" + strings.Join(quoted, ", ")
	if n := len(words) - len(shown); n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text + ")"
}
