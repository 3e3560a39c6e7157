package gbdt

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxTextBytes is the largest text that ParseText reads.
const maxTextBytes = 256 << 20

// ParseText reads an ensemble from LightGBM's text format, versions 2 to 4: numeric splits with any of LightGBM's three kinds of
// missing value, categorical splits, and the objectives that give the probability of a yes, which are binary with any sigmoid
// parameter and cross_entropy. Random forests are read from version 3 on; those of version 2 are refused, as their leaves may
// hold probabilities or log-odds and the text does not say which. Several classes, other objectives and linear trees are errors
// that say they are not supported. What is read, [Ensemble.WriteText] writes back byte for byte. Names of features are taken as
// they are, but where WriteText says that it has escaped them.
//
// Everything is checked before it is used: the text's size (at most 256 MiB), each list's length, each number's range, that
// features and category sets exist and that a tree's links reach each node and leaf once. Corrupt input gives an error, never a
// panic, and memory stays within a small multiple of the text. Fields that are not needed here are skipped, statistics that
// are missing are read as 0. The text must run to "end of trees".
func ParseText(r io.Reader) (*Ensemble, error) {
	source, err := readAll(r)
	if err != nil {
		return nil, fmt.Errorf("read model text: %w", err)
	}
	p := &textParser{rest: source}
	e, err := p.ensemble()
	if err != nil {
		return nil, fmt.Errorf("parse model text: line %d: %w", p.line, err)
	}
	e.source = source
	return e, nil
}

// readAll reads a text of at most maxTextBytes.
func readAll(r io.Reader) (string, error) {
	var text strings.Builder
	if sized, ok := r.(interface{ Len() int }); ok {
		text.Grow(min(sized.Len(), maxTextBytes))
	}
	n, err := io.Copy(&text, io.LimitReader(r, maxTextBytes+1))
	if err == nil && n > maxTextBytes {
		err = fmt.Errorf("more than %d bytes", maxTextBytes)
	}
	return text.String(), err
}

// textParser walks over the lines of a model's text.
type textParser struct {
	rest string
	// line is the number, from 1, of the line that next returned last.
	line int
}

// next returns the next line without its end, carriage returns included.
func (p *textParser) next() (text string, ok bool) {
	if p.rest == "" {
		return "", false
	}
	p.line++
	text, p.rest, _ = strings.Cut(p.rest, "\n")
	return strings.TrimRight(text, "\r"), true
}

// nextFilled returns the next line that is not blank.
func (p *textParser) nextFilled() (text string, ok bool) {
	for {
		text, ok = p.next()
		if !ok || strings.TrimSpace(text) != "" {
			return text, ok
		}
	}
}

// fields are the key=value lines of the header.
type fields map[string]string

// block reads lines up to a blank one into f.
func (f fields) block(p *textParser) error {
	for {
		text, ok := p.next()
		if !ok || strings.TrimSpace(text) == "" {
			return nil
		}
		key, value, _ := strings.Cut(text, "=")
		if _, twice := f[key]; twice {
			return fmt.Errorf("field %q is there twice", clip(key))
		}
		f[key] = value
	}
}

func (p *textParser) ensemble() (*Ensemble, error) {
	if text, _ := p.nextFilled(); text != "tree" {
		return nil, fmt.Errorf("begins with %q, want \"tree\"", clip(text))
	}
	header, read := fields{}, listReader{}
	if err := header.block(p); err != nil {
		return nil, err
	}
	objective, err := header.objective()
	if err != nil {
		return nil, err
	}
	names, infos, err := header.features()
	if err != nil {
		return nil, err
	}
	var trees []tree
	for {
		text, ok := p.nextFilled()
		if !ok {
			return nil, errors.New("ends before \"end of trees\"")
		}
		if text == "end of trees" {
			break
		}
		if want := "Tree=" + strconv.Itoa(len(trees)); text != want {
			return nil, fmt.Errorf("found %q, want %q", clip(text), want)
		}
		if err := read.block(p); err != nil {
			return nil, err
		}
		t, err := read.tree(len(names))
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", len(trees), err)
		}
		trees = append(trees, *t)
	}
	if len(trees) == 0 {
		return nil, errors.New("no trees")
	}
	if sizes, ok := header["tree_sizes"]; ok && len(strings.Fields(sizes)) != len(trees) {
		return nil, fmt.Errorf("tree_sizes has %d entries for %d trees", len(strings.Fields(sizes)), len(trees))
	}
	parameters, err := p.parameters()
	if err != nil {
		return nil, err
	}
	if escapes(parameters) {
		for i, name := range names {
			names[i] = unescapeName(name)
		}
		if err := checkNames(names); err != nil {
			return nil, err
		}
		parameters = slices.DeleteFunc(parameters, func(line string) bool { return line == escapedNames })
	}
	e := newEnsemble(names, infos, parameters, trees)
	e.objective = objective
	return e, nil
}

// parameters returns the lines between "parameters:" and "end of parameters", nil if there is no such part.
func (p *textParser) parameters() ([]string, error) {
	var lines []string
	inside := false
	for {
		text, ok := p.nextFilled()
		switch {
		case !ok && inside:
			return nil, errors.New("ends before \"end of parameters\"")
		case !ok:
			return nil, nil
		case inside && text == "end of parameters":
			return lines, nil
		case inside:
			lines = append(lines, text)
		case text == "parameters:":
			lines, inside = []string{}, true
		}
	}
}

// objective checks that a model's header is of a kind that is supported, and returns what its scores mean.
func (f fields) objective() (objective, error) {
	for _, want := range []struct{ key, values string }{
		{"version", "v2 v3 v4"}, {"num_class", "1"}, {"num_tree_per_iteration", "1"},
	} {
		value, ok := f[want.key]
		if !ok {
			return objective{}, fmt.Errorf("no field %s", want.key)
		}
		if !slices.Contains(strings.Fields(want.values), value) {
			return objective{}, fmt.Errorf("%s %q is not supported, only %s", want.key, clip(value), want.values)
		}
	}
	o, err := parseObjective(f["objective"])
	if err != nil {
		return objective{}, err
	}
	if _, o.average = f["average_output"]; o.average && f["version"] == "v2" {
		return objective{}, errors.New("average_output (a random forest) is not supported in version v2, whose leaves may hold probabilities or log-odds")
	}
	return o, nil
}

// features returns the names, as they stand there, and infos of a model's features.
func (f fields) features() (names, infos []string, err error) {
	names = strings.Split(f["feature_names"], " ")
	if err := checkNames(names); err != nil {
		return nil, nil, err
	}
	if f["max_feature_idx"] != strconv.Itoa(len(names)-1) {
		return nil, nil, fmt.Errorf("max_feature_idx is %q, want %d for %d feature names", clip(f["max_feature_idx"]), len(names)-1, len(names))
	}
	infos = strings.Fields(f["feature_infos"])
	if len(infos) != len(names) {
		return nil, nil, fmt.Errorf("feature_infos has %d entries, want %d", len(infos), len(names))
	}
	return names, infos, nil
}

// tree reads and checks the fields of one tree whose splits are on one of width features.
func (r *listReader) tree(width int) (*tree, error) {
	if value := r.values[fieldIsLinear]; value != "0" && r.there[fieldIsLinear] {
		return nil, fmt.Errorf("is_linear is %q: linear trees are not supported", clip(value))
	}
	leaves, err := strconv.ParseInt(r.values[fieldNumLeaves], 10, 64)
	if err != nil || leaves < 1 || leaves > maxLeaves {
		return nil, fmt.Errorf("num_leaves is %q, want 1 to %d", clip(r.values[fieldNumLeaves]), maxLeaves)
	}
	sets, err := strconv.ParseInt(r.values[fieldNumCat], 10, 64)
	if err != nil || sets < 0 || sets >= leaves {
		return nil, fmt.Errorf("num_cat is %q, want 0 to %d", clip(r.values[fieldNumCat]), leaves-1)
	}
	n, nodes := int(leaves), int(leaves-1)
	t := &tree{shrinkage: 1}
	r.optional = false
	t.feature = intList[int32](r, fieldSplitFeature, nodes, 0, int64(width)-1)
	t.threshold = r.floats(fieldThreshold, nodes)
	t.decision = intList[uint8](r, fieldDecisionType, nodes, 0, math.MaxUint8)
	t.left = intList[int32](r, fieldLeftChild, nodes, -leaves, int64(nodes)-1)
	t.right = intList[int32](r, fieldRightChild, nodes, -leaves, int64(nodes)-1)
	t.leafValue = r.floats(fieldLeafValue, n)
	r.sets(t, int(sets))
	r.optional = true
	t.gain = r.floats(fieldSplitGain, nodes)
	t.leafWeight = r.floats(fieldLeafWeight, n)
	t.leafCount = intList[int64](r, fieldLeafCount, n, 0, math.MaxInt64)
	t.internalValue = r.floats(fieldInternalValue, nodes)
	t.internalWeight = r.floats(fieldInternalWeight, nodes)
	t.internalCount = intList[int64](r, fieldInternalCount, nodes, 0, math.MaxInt64)
	if r.there[fieldShrinkage] {
		if shrinkage := r.floats(fieldShrinkage, 1); r.err == nil {
			t.shrinkage = shrinkage[0]
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := t.checkDecisions(int(sets)); err != nil {
		return nil, err
	}
	return t, t.checkLinks()
}

// sets reads the category sets of a tree.
func (r *listReader) sets(t *tree, sets int) {
	if sets == 0 || r.err != nil {
		return
	}
	t.catBounds = intList[int32](r, fieldCatBoundaries, sets+1, 0, math.MaxInt32)
	if r.err != nil {
		return
	}
	if t.catBounds[0] != 0 || !slices.IsSorted(t.catBounds) {
		r.err = errors.New("cat_boundaries do not rise from 0")
		return
	}
	t.catWords = intList[uint32](r, fieldCatThreshold, int(t.catBounds[sets]), 0, math.MaxUint32)
}

// checkDecisions reports whether each node's kind of split is known and, if by a set of categories, the set is there.
func (t *tree) checkDecisions(sets int) error {
	for i, d := range t.decision {
		if d&^(decisionKnown|decisionCategorical) != 0 || t.missingType(i) > missingNaN {
			return fmt.Errorf("node %d: unknown decision_type %d", i, d)
		}
		if k := t.threshold[i]; t.categorical(i) && !(k >= 0 && k < float64(sets) && k == math.Trunc(k)) {
			return fmt.Errorf("node %d: category set %v of %d", i, k, sets)
		}
	}
	return nil
}

// checkLinks reports whether each node but the root, and each leaf, is reached exactly once from the root. Links must be in range.
func (t *tree) checkLinks() error {
	if len(t.feature) == 0 {
		return nil
	}
	seenNode, seenLeaf := make([]bool, len(t.feature)), make([]bool, len(t.leafValue))
	seenNode[0] = true
	waiting := []int32{0}
	reached := 0
	for len(waiting) > 0 {
		node := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		reached++
		for _, child := range [2]int32{t.left[node], t.right[node]} {
			seen, i := seenNode, child
			if child < 0 {
				seen, i = seenLeaf, ^child
			}
			if seen[i] {
				return fmt.Errorf("node %d: child %d is reached twice", node, child)
			}
			seen[i] = true
			if child >= 0 {
				waiting = append(waiting, child)
			}
		}
	}
	// A tree of n nodes all reached once has n+1 leaves reached once, which is all there are.
	if reached != len(t.feature) {
		return fmt.Errorf("%d of %d nodes are not reached", len(t.feature)-reached, len(t.feature))
	}
	return nil
}
