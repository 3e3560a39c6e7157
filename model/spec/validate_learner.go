package spec

import (
	"fmt"
	"math"
	"slices"
)

func (l *Learner) check(f *faults) {
	between(f, "learner.trees", l.Trees, 1, 100_000)
	positiveShare(f, "learner.learning_rate", l.LearningRate)
	between(f, "learner.max_depth", l.MaxDepth, 0, 64)
	if l.MaxLeaves != 0 {
		between(f, "learner.max_leaves", l.MaxLeaves, 2, 65535)
	}
	if l.MaxDepth == 0 && l.MaxLeaves == 0 {
		f.add("learner.max_depth", "trees need a bound: max_depth, max_leaves or both")
	}
	share(f, "learner.l1", l.L1, 0, math.MaxFloat64)
	share(f, "learner.l2", l.L2, 0, math.MaxFloat64)
	share(f, "learner.min_child_weight", l.MinChildWeight, 0, math.MaxFloat64)
	atLeast(f, "learner.min_child_rows", l.MinChildRows, 1)
	share(f, "learner.min_gain", l.MinGain, 0, math.MaxFloat64)
	positiveShare(f, "learner.subsample", l.Subsample)
	positiveShare(f, "learner.column_sample", l.ColumnSample)
	positiveShare(f, "learner.column_sample_node", l.ColumnSampleNode)
	between(f, "learner.max_bins", l.MaxBins, 2, 65535)
	atLeast(f, "learner.early_stopping_rounds", l.EarlyStoppingRounds, 0)
	if l.Folds != 0 {
		between(f, "learner.folds", l.Folds, 2, 20)
	}
	// Beyond these bounds gradients vanish and the trees learn next to nothing.
	share(f, "learner.positive_weight", l.PositiveWeight, 0.001, 1000)
	if l.BaseScore != nil {
		share(f, "learner.base_score", *l.BaseScore, -10, 10)
	}
	if c := l.CategoricalSplits; c != nil {
		const at = "learner.categorical_splits"
		share(f, at+".smooth", c.Smooth, 0, math.MaxFloat64)
		share(f, at+".l2", c.L2, 0, math.MaxFloat64)
		between(f, at+".max_onehot", c.MaxOneHot, 1, 65535)
		between(f, at+".max_set", c.MaxSet, 1, 65535)
		atLeast(f, at+".min_rows", c.MinRows, 1)
	}
}

// checkConstraints holds the columns that the learner's constraints name to those there are.
func (s *Spec) checkConstraints(f *faults, kinds map[string]kind) {
	inputs := map[string]bool{} // by name, whether the values have an order that a constraint can follow
	for name, k := range kinds {
		if k == kindNumeric {
			inputs[name] = true
		}
	}
	for _, c := range s.Columns.Categorical {
		inputs[c.Name] = s.EncodingOf(c) == EncodingTarget
	}
	for _, d := range s.Features.Derived {
		inputs[d.Name] = true
	}
	if m := s.Learner.Monotone; m != nil {
		seen := map[string]bool{}
		check := func(path string, names []string) {
			for i, name := range names {
				at := fmt.Sprintf("%s[%d]", path, i)
				ordered, known := inputs[name]
				switch {
				case !known:
					f.add(at, "%q is no numeric or categorical column and no derived feature", cut(name))
				case !ordered:
					f.add(at, "the levels of %q have no order: only target encoding gives them one", cut(name))
				case seen[name]:
					f.add(at, "%q is constrained twice", cut(name))
				}
				seen[name] = true
			}
		}
		check("learner.monotone.increasing", m.Increasing)
		check("learner.monotone.decreasing", m.Decreasing)
		s.checkDerivedMonotone(f, m)
	}
	for i, set := range s.Learner.Interactions {
		path := fmt.Sprintf("learner.interactions[%d]", i)
		if len(set) == 0 {
			f.add(path, "an empty set lets no columns meet: leave it out")
		}
		for j, name := range set {
			at := fmt.Sprintf("%s[%d]", path, j)
			switch _, known := inputs[name]; {
			case !known:
				f.add(at, "%q is no numeric or categorical column and no derived feature", cut(name))
			case slices.Index(set, name) < j:
				f.add(at, "%q is in the set twice", cut(name))
			default:
				s.checkDerivedSet(f, at, name, set)
			}
		}
	}
}

// checkDerivedMonotone refuses a constrained column that also reaches the trees by a derived feature which is not held to the direction that
// the column's asks of it.
func (s *Spec) checkDerivedMonotone(f *faults, m *Monotone) {
	direction := map[string]int{}
	for _, name := range m.Increasing {
		direction[name] = 1
	}
	for _, name := range m.Decreasing {
		direction[name] = -1
	}
	check := func(path, name string, column int) {
		for _, d := range s.Features.Derived {
			for i, of := range d.Of {
				if of != name {
					continue
				}
				want := column * d.slope(i)
				switch {
				case want == 0:
					f.add(path, "derived feature %q is made of %q, and %s may rise or fall with it: leave out the one or the other", cut(d.Name), cut(name), d.Op)
				case direction[d.Name] != want:
					f.add(path, "derived feature %q is made of %q: name it under %s too", cut(d.Name), cut(name), map[int]string{1: "increasing", -1: "decreasing"}[want])
				default:
					continue
				}
				return
			}
		}
	}
	for i, name := range m.Increasing {
		check(fmt.Sprintf("learner.monotone.increasing[%d]", i), name, 1)
	}
	for i, name := range m.Decreasing {
		check(fmt.Sprintf("learner.monotone.decreasing[%d]", i), name, -1)
	}
}

// slope returns 1 where the feature never falls as input i rises, -1 where it never rises, and 0 where it depends on the values.
func (d *Derived) slope(i int) int {
	switch {
	case d.Op == OpDifference && i == 1:
		if d.Of[0] == d.Of[1] {
			return 0
		}
		return -1
	case d.Op == OpDifference, d.Op == OpSum, d.Op == OpLog1p, d.Op == OpAboveMedian:
		return 1
	}
	return 0
}

// checkDerivedSet refuses a derived feature in a set without its columns, which would meet the set's columns in it.
func (s *Spec) checkDerivedSet(f *faults, path, name string, set []string) {
	for _, d := range s.Features.Derived {
		if d.Name != name {
			continue
		}
		for _, of := range d.Of {
			if !slices.Contains(set, of) {
				f.add(path, "derived feature %q is made of %q, which is not in the set", cut(name), cut(of))
				return
			}
		}
	}
}

func (d *Decision) check(f *faults) {
	if d == nil {
		return
	}
	oneOf(f, "threshold.by", d.By, RuleF1, RuleCost, RuleProfit)
	switch {
	case d.By == RuleCost && d.Cost == nil:
		f.add("threshold.cost", "is missing: the costs of the four outcomes")
	case d.By != RuleCost && d.Cost != nil:
		f.add("threshold.cost", "is for by: cost alone")
	case d.Cost != nil:
		d.Cost.check(f)
	}
	switch {
	case d.By != RuleProfit && d.Profit != nil:
		f.add("threshold.profit", "is for by: profit alone")
	case d.Profit != nil:
		d.Profit.check(f)
	}
}

func (c *Costs) check(f *faults) {
	const at, most = "threshold.cost", 1e12
	share(f, at+".true_positive", c.TruePositive, -most, most)
	share(f, at+".false_positive", c.FalsePositive, -most, most)
	share(f, at+".true_negative", c.TrueNegative, -most, most)
	share(f, at+".false_negative", c.FalseNegative, -most, most)
	if c.FalseNegative <= c.TruePositive {
		f.add(at+".false_negative", "%g is not more than true_positive, %g: to miss a positive row must cost more than to find it", c.FalseNegative, c.TruePositive)
	}
	if c.FalsePositive <= c.TrueNegative {
		f.add(at+".false_positive", "%g is not more than true_negative, %g: a false alarm must cost more than none", c.FalsePositive, c.TrueNegative)
	}
}

func (p *Profit) check(f *faults) {
	const at, most = "threshold.profit", 1e12
	share(f, at+".lifetime_value", p.LifetimeValue, math.SmallestNonzeroFloat64, most)
	share(f, at+".incentive", p.Incentive, 0, most)
	share(f, at+".contact", p.Contact, 0, most)
	if p.Incentive >= p.LifetimeValue {
		f.add(at+".incentive", "%g is not less than lifetime_value, %g: no offer could pay", p.Incentive, p.LifetimeValue)
	}
	share(f, at+".alpha", p.Alpha, 0.01, 1e4)
	share(f, at+".beta", p.Beta, 0.01, 1e4)
}
