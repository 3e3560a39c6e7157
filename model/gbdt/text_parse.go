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

// ParseText reads an ensemble from LightGBM's text format, versions 2 to 4, of one class with objective "binary sigmoid:1" and
// numeric splits with any of LightGBM's three kinds of missing value. Categorical splits, linear trees, averaged outputs and
// other objectives are errors that say they are not supported.
//
// Everything is checked before it is used: the text's size (at most 256 MiB), each list's length, each number's range, that
// features exist and that a tree's links reach each node and leaf once. Corrupt input gives an error, never a panic. Fields
// that are not needed here are skipped, statistics that are missing are read as 0. The text must run to "end of trees".
func ParseText(r io.Reader) (*Ensemble, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxTextBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read model text: %w", err)
	}
	if len(data) > maxTextBytes {
		return nil, fmt.Errorf("parse model text: more than %d bytes", maxTextBytes)
	}
	p := &textParser{rest: string(data)}
	e, err := p.ensemble()
	if err != nil {
		return nil, fmt.Errorf("parse model text: line %d: %w", p.line, err)
	}
	return e, nil
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

// fields are the key=value lines of one block.
type fields map[string]string

// block reads lines up to a blank one into f, which it empties first.
func (p *textParser) block(f fields) error {
	clear(f)
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
	header, read := fields{}, listReader{fields: fields{}}
	if err := p.block(header); err != nil {
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
		if err := p.block(read.fields); err != nil {
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
	return newEnsemble(names, infos, parameters, trees), nil
}

// parameters returns the lines between "parameters:" and "end of parameters", none if there is no such part.
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
			inside = true
		}
	}
}

// features checks a model's header and returns the names and infos of its features.
func (f fields) features() (names, infos []string, err error) {
	for _, want := range []struct{ key, values string }{
		{"version", "v2 v3 v4"}, {"num_class", "1"}, {"num_tree_per_iteration", "1"},
	} {
		value, ok := f[want.key]
		if !ok {
			return nil, nil, fmt.Errorf("no field %s", want.key)
		}
		if !slices.Contains(strings.Fields(want.values), value) {
			return nil, nil, fmt.Errorf("%s %q is not supported, only %s", want.key, clip(value), want.values)
		}
	}
	if value := strings.TrimSpace(f["objective"]); value != "binary sigmoid:1" {
		return nil, nil, fmt.Errorf("objective %q is not supported, only \"binary sigmoid:1\"", clip(value))
	}
	if _, ok := f["average_output"]; ok {
		return nil, nil, errors.New("average_output (random forests) is not supported")
	}
	names = strings.Split(f["feature_names"], " ")
	for i, name := range names {
		names[i] = unescapeName(name)
	}
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
	f := r.fields
	if value := f["num_cat"]; value != "0" {
		return nil, fmt.Errorf("num_cat is %q: categorical splits are not supported", clip(value))
	}
	if value, ok := f["is_linear"]; ok && value != "0" {
		return nil, fmt.Errorf("is_linear is %q: linear trees are not supported", clip(value))
	}
	leaves, err := strconv.Atoi(f["num_leaves"])
	if err != nil || leaves < 1 || leaves > maxLeaves {
		return nil, fmt.Errorf("num_leaves is %q, want 1 to %d", clip(f["num_leaves"]), maxLeaves)
	}
	nodes := leaves - 1
	t := &tree{shrinkage: 1}
	r.optional = false
	t.feature = intList[int32](r, "split_feature", nodes, 0, int64(width)-1)
	t.threshold = r.floats("threshold", nodes)
	t.decision = intList[uint8](r, "decision_type", nodes, 0, math.MaxUint8)
	t.left = intList[int32](r, "left_child", nodes, -int64(leaves), int64(nodes)-1)
	t.right = intList[int32](r, "right_child", nodes, -int64(leaves), int64(nodes)-1)
	t.leafValue = r.floats("leaf_value", leaves)
	r.optional = true
	t.gain = r.floats("split_gain", nodes)
	t.leafWeight = r.floats("leaf_weight", leaves)
	t.leafCount = intList[int64](r, "leaf_count", leaves, 0, math.MaxInt64)
	t.internalValue = r.floats("internal_value", nodes)
	t.internalWeight = r.floats("internal_weight", nodes)
	t.internalCount = intList[int64](r, "internal_count", nodes, 0, math.MaxInt64)
	if _, ok := f["shrinkage"]; ok {
		if shrinkage := r.floats("shrinkage", 1); r.err == nil && len(shrinkage) == 1 {
			t.shrinkage = shrinkage[0]
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	for i, d := range t.decision {
		switch {
		case d&decisionCategorical != 0:
			return nil, fmt.Errorf("node %d: categorical splits are not supported", i)
		case d&^decisionKnown != 0 || t.missingType(i) > missingNaN:
			return nil, fmt.Errorf("node %d: unknown decision_type %d", i, d)
		}
	}
	return t, t.checkLinks()
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

// listReader reads the lists of numbers of one tree after another and keeps the first error. Its map and slice are used again for each.
type listReader struct {
	fields   fields
	optional bool
	texts    []string
	err      error
}

// items returns the texts of a list of n numbers, and nil if there is an error or the list is optional and missing.
func (r *listReader) items(key string, n int) []string {
	if r.err != nil {
		return nil
	}
	value, ok := r.fields[key]
	items := r.texts[:0]
	for item := range strings.FieldsSeq(value) {
		items = append(items, item)
	}
	r.texts = items
	if len(items) == 0 && r.optional {
		return nil
	}
	if !ok && n > 0 {
		r.err = fmt.Errorf("no field %s", key)
		return nil
	}
	if len(items) != n {
		r.err = fmt.Errorf("%s has %d entries, want %d", key, len(items), n)
		return nil
	}
	return items
}

// floats returns a list of n finite numbers, zeros if it is optional and missing.
func (r *listReader) floats(key string, n int) []float64 {
	items := r.items(key, n)
	if r.err != nil {
		return nil
	}
	values := make([]float64, n)
	for i, item := range items {
		v, err := strconv.ParseFloat(item, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			r.err = fmt.Errorf("%s: entry %d is %q, want a finite number", key, i, clip(item))
			return nil
		}
		values[i] = v
	}
	return values
}

// intList returns a list of n whole numbers from low to high, zeros if it is optional and missing.
func intList[E uint8 | int32 | int64](r *listReader, key string, n int, low, high int64) []E {
	items := r.items(key, n)
	if r.err != nil {
		return nil
	}
	values := make([]E, n)
	for i, item := range items {
		v, err := strconv.ParseInt(item, 10, 64)
		if err != nil || v < low || v > high {
			r.err = fmt.Errorf("%s: entry %d is %q, want a whole number from %d to %d", key, i, clip(item), low, high)
			return nil
		}
		values[i] = E(v)
	}
	return values
}

// clip shortens untrusted text for an error message.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
