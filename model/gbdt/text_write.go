package gbdt

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// WriteText writes the ensemble in LightGBM's text format: one that was read from such a text byte for byte as it was, another
// in version 4. The same ensemble gives the same bytes, and what it writes, [ParseText] reads back to an ensemble that writes
// the same bytes and gives bit-equal scores. Fractions have 17 significant
// digits. Spaces, control characters and "%,:=[]{} of feature names, which the format cannot hold, are written as % and two
// hexadecimal digits, and a line at the end of the parameters, which LightGBM keeps and passes over, says so. An error is the writer's.
func (e *Ensemble) WriteText(w io.Writer) error {
	if e.source != "" {
		if _, err := io.WriteString(w, e.source); err != nil {
			return fmt.Errorf("write model text: %w", err)
		}
		return nil
	}
	trees := make([][]byte, len(e.trees))
	sizes := make([]string, len(e.trees))
	for i := range e.trees {
		trees[i] = e.trees[i].text(i)
		sizes[i] = strconv.Itoa(len(trees[i]))
	}
	names := make([]string, len(e.names))
	parameters := e.parameters
	for i, name := range e.names {
		names[i] = escapeName(name)
	}
	if !slices.Equal(names, e.names) {
		parameters = append(slices.Clip(parameters), escapedNames)
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=%d\n", len(names)-1)
	fmt.Fprintf(out, "objective=%s\n", e.objective.text())
	if e.objective.average {
		out.WriteString("average_output\n")
	}
	fmt.Fprintf(out, "feature_names=%s\nfeature_infos=%s\ntree_sizes=%s\n\n",
		strings.Join(names, " "), strings.Join(e.infos, " "), strings.Join(sizes, " "))
	for _, t := range trees {
		out.Write(t)
	}
	out.WriteString("end of trees\n\nfeature_importances:\n")
	for _, f := range e.bySplits() {
		fmt.Fprintf(out, "%s=%d\n", names[f.feature], f.splits)
	}
	out.WriteString("\nparameters:\n")
	for _, line := range parameters {
		out.WriteString(line)
		out.WriteByte('\n')
	}
	out.WriteString("\nend of parameters\n\npandas_categorical:null\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write model text: %w", err)
	}
	return nil
}

type featureSplits struct {
	feature int
	splits  int
}

// bySplits returns the features that are split on, those with most splits first and of equal ones the first feature.
func (e *Ensemble) bySplits() []featureSplits {
	counts := make([]featureSplits, len(e.names))
	for i := range counts {
		counts[i].feature = i
	}
	for i := range e.trees {
		for _, f := range e.trees[i].feature {
			counts[f].splits++
		}
	}
	slices.SortStableFunc(counts, func(a, b featureSplits) int { return b.splits - a.splits })
	end := slices.IndexFunc(counts, func(c featureSplits) bool { return c.splits == 0 })
	if end < 0 {
		return counts
	}
	return counts[:end]
}

// text returns the tree's block, from its number to the two blank lines after it.
func (t *tree) text(number int) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "Tree=%d\nnum_leaves=%d\nnum_cat=%d\n", number, len(t.leafValue), max(len(t.catBounds)-1, 0))
	writeInts(&out, "split_feature", t.feature)
	writeFloats(&out, "split_gain", t.gain)
	writeFloats(&out, "threshold", t.threshold)
	writeInts(&out, "decision_type", t.decision)
	writeInts(&out, "left_child", t.left)
	writeInts(&out, "right_child", t.right)
	writeFloats(&out, "leaf_value", t.leafValue)
	writeFloats(&out, "leaf_weight", t.leafWeight)
	writeInts(&out, "leaf_count", t.leafCount)
	writeFloats(&out, "internal_value", t.internalValue)
	writeFloats(&out, "internal_weight", t.internalWeight)
	writeInts(&out, "internal_count", t.internalCount)
	if len(t.catBounds) > 0 {
		writeInts(&out, "cat_boundaries", t.catBounds)
		writeInts(&out, "cat_threshold", t.catWords)
	}
	fmt.Fprintf(&out, "is_linear=0\nshrinkage=%s\n\n\n", formatFloat(t.shrinkage))
	return out.Bytes()
}

func writeFloats(out *bytes.Buffer, key string, values []float64) {
	writeValues(out, key, values, func(dst []byte, v float64) []byte { return strconv.AppendFloat(dst, v, 'g', 17, 64) })
}

func writeInts[E uint8 | int32 | uint32 | int64](out *bytes.Buffer, key string, values []E) {
	writeValues(out, key, values, func(dst []byte, v E) []byte { return strconv.AppendInt(dst, int64(v), 10) })
}

func writeValues[E any](out *bytes.Buffer, key string, values []E, format func([]byte, E) []byte) {
	out.WriteString(key)
	out.WriteByte('=')
	for i, v := range values {
		if i > 0 {
			out.WriteByte(' ')
		}
		out.Write(format(out.AvailableBuffer(), v))
	}
	out.WriteByte('\n')
}

// formatFloat returns a number with 17 significant digits, which parse back to the same number.
func formatFloat(v float64) string {
	return strconv.FormatFloat(v, 'g', 17, 64)
}

// text returns the parameters that shape the model under LightGBM's names. The seed is cut to its low 31 bits, all that
// LightGBM has room for; the number of threads is left out, as the model must not depend on it.
func (p Params) text() []string {
	depth, bagging := p.MaxDepth, 0
	if depth == 0 {
		depth = -1
	}
	if p.Subsample < 1 {
		bagging = 1
	}
	var lines []string
	add := func(key, value string) { lines = append(lines, "["+key+": "+value+"]") }
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	add("boosting", "gbdt")
	add("objective", "binary")
	add("metric", "binary_logloss")
	add("num_iterations", strconv.Itoa(p.Trees))
	add("learning_rate", number(p.LearningRate))
	add("num_leaves", strconv.Itoa(p.leaves()))
	add("max_depth", strconv.Itoa(depth))
	add("lambda_l1", number(p.L1))
	add("lambda_l2", number(p.L2))
	add("min_sum_hessian_in_leaf", number(p.MinChildWeight))
	add("min_data_in_leaf", strconv.Itoa(p.MinChildRows))
	add("min_gain_to_split", number(p.MinGain))
	add("bagging_fraction", number(p.Subsample))
	add("bagging_freq", strconv.Itoa(bagging))
	add("feature_fraction", number(p.ColumnSample))
	p.constraints(add)
	add("max_bin", strconv.Itoa(p.MaxBins))
	add("early_stopping_round", strconv.Itoa(p.EarlyStoppingRounds))
	add("seed", strconv.FormatUint(p.Seed&(1<<31-1), 10))
	return lines
}

// escapedNames is the line among the parameters of a text whose feature names hold escapes. LightGBM has no such parameter, and
// takes a parameter without a value for nothing to set, so that it writes the line again with the names.
const escapedNames = "[feature_names_escaped: ]"

// escapes reports whether a text with these parameters, nil if it has no such part, has its feature names escaped. Texts written here
// before there was a line that says so always had, and are known by parameters as LightGBM does not write them: none at all, or the number of
// trees where LightGBM names its tree learner.
func escapes(parameters []string) bool {
	const before = 3
	switch {
	case slices.Contains(parameters, escapedNames):
		return true
	case len(parameters) <= before:
		return parameters != nil && len(parameters) == 0
	}
	return strings.HasPrefix(parameters[before], "[num_iterations: ")
}

// reserved reports whether a byte of a name must be escaped.
func reserved(c byte) bool {
	return c <= ' ' || c == 0x7f || strings.IndexByte("\"%,:=[]{}", c) >= 0
}

func escapeName(name string) string {
	var out strings.Builder
	for i := range len(name) {
		if c := name[i]; reserved(c) {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// unescapeName undoes escapeName. A % that does not begin an escape stays as it is.
func unescapeName(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if c, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil && reserved(byte(c)) {
				out.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.String()
}
