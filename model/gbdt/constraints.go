package gbdt

import (
	"slices"
	"strconv"
	"strings"
)

// children returns the bounds of the values of a leaf's children after a split on a column with a monotone direction: the middle between
// the children's own values parts them, so that whatever they are split into stays in order. Splits in no direction hand the bounds on.
func (b bounds) children(direction int8, leftValue, rightValue float64) (left, right bounds) {
	left, right = b, b
	if direction == 0 {
		return left, right
	}
	middle := float64(leftValue/2) + float64(rightValue/2)
	if direction > 0 {
		left.upper, right.lower = middle, middle
	} else {
		left.lower, right.upper = middle, middle
	}
	return left, right
}

// monotone returns the direction of a feature.
func (p *Params) monotone(f int) int8 {
	if p.Monotone == nil {
		return 0
	}
	return p.Monotone[f]
}

// interactions holds the sets of features that may meet on a path; features in none of Params.Interactions are sets of their own.
type interactions struct {
	width int
	sets  [][]int
	// of holds the numbers of the sets that each feature is in, ascending.
	of [][]int
}

// newInteractions returns nil where every feature may meet every other.
func newInteractions(p *Params, width int) *interactions {
	if p.Interactions == nil {
		return nil
	}
	n := &interactions{width: width, sets: slices.Clone(p.Interactions), of: make([][]int, width)}
	for i, set := range n.sets {
		for _, f := range set {
			if !slices.Contains(n.of[f], i) {
				n.of[f] = append(n.of[f], i)
			}
		}
	}
	for f := range width {
		if n.of[f] == nil {
			n.of[f] = []int{len(n.sets)}
			n.sets = append(n.sets, []int{f})
		}
	}
	return n
}

// reach says which features the splits below a leaf may be on.
type reach struct {
	// live are the sets that hold all features on the path; at the root, whose features is nil, all.
	live     []int
	features []bool
}

// after returns the reach below a split on f.
func (n *interactions) after(r *reach, f int) *reach {
	if n == nil {
		return nil
	}
	next := &reach{features: make([]bool, n.width)}
	for _, set := range n.of[f] {
		if r != nil && !slices.Contains(r.live, set) {
			continue
		}
		next.live = append(next.live, set)
		for _, member := range n.sets[set] {
			next.features[member] = true
		}
	}
	return next
}

// holds reports whether a split may be on f; a nil reach holds all.
func (r *reach) holds(f int) bool { return r == nil || r.features[f] }

// constraints adds the lines of those parameters that most models go without, where they are in use.
func (p *Params) constraints(add func(key, value string)) {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	if p.positiveWeight() != 1 {
		add("scale_pos_weight", number(p.PositiveWeight))
	}
	if p.BaseScore != nil {
		add("boost_from_average", "0")
	}
	if p.samplesNodes() {
		add("feature_fraction_bynode", number(p.ColumnSampleNode))
	}
	if p.Monotone != nil {
		directions := make([]int, len(p.Monotone))
		for f, m := range p.Monotone {
			directions[f] = int(m)
		}
		add("monotone_constraints", list(directions))
	}
	if p.Interactions != nil {
		sets := make([]string, len(p.Interactions))
		for i, set := range p.Interactions {
			sets[i] = "[" + list(set) + "]"
		}
		add("interaction_constraints", strings.Join(sets, ","))
	}
	if len(p.Categorical) > 0 {
		add("categorical_feature", list(p.Categorical))
		add("cat_smooth", number(p.CatSmooth))
		add("cat_l2", number(p.CatL2))
		add("max_cat_to_onehot", strconv.Itoa(p.MaxCatToOneHot))
		add("max_cat_threshold", strconv.Itoa(p.MaxCatThreshold))
		add("min_data_per_group", strconv.Itoa(p.MinRowsPerCategory))
	}
}

// samplesNodes reports whether ColumnSampleNode leaves any features out.
func (p *Params) samplesNodes() bool {
	return p.ColumnSampleNode > 0 && p.ColumnSampleNode < 1
}

// list returns whole numbers with commas between them.
func list(numbers []int) string {
	var out strings.Builder
	for i, n := range numbers {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(strconv.Itoa(n))
	}
	return out.String()
}
