package spec

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	zoneForm = regexp.MustCompile(`^[A-Za-z0-9_+/-]+$`)
)

// maxName bounds a model's name, which becomes a subject's token.
const maxName = 128

// Validate returns all faults joined, each an *Error with its path, or nil.
func (s *Spec) Validate() error {
	var f faults
	s.checkHead(&f)
	kinds := s.Columns.check(&f)
	s.Features.check(&f, kinds)
	s.Learner.check(&f)
	s.checkConstraints(&f, kinds)
	oneOf(&f, "calibration", s.Calibration, CalibrationNone, CalibrationSigmoid, CalibrationIsotonic)
	s.Threshold.check(&f)
	s.Gates.check(&f, s.Threshold.Rule())
	s.Rollout.check(&f)
	s.Drift.check(&f, kinds)
	s.Retrain.check(&f)
	s.Expectations.check(&f, kinds)
	share(&f, "split.holdout", s.Split.Holdout, 0.01, 0.9)
	if s.Learner.Folds == 0 || s.Split.Validation != 0 {
		share(&f, "split.validation", s.Split.Validation, 0.01, 0.9)
	}
	atLeast(&f, "labels.horizon", s.Labels.Horizon, 0)
	atLeast(&f, "labels.slack", s.Labels.Slack, 0)
	atLeast(&f, "labels.grace", s.Labels.Grace, 0)
	return f.err()
}

// ValidName reports whether a spec, and so a model that is trained here, can have a name: letters, digits, _ and -, at most 128 bytes.
func ValidName(name string) bool { return len(name) <= maxName && nameForm.MatchString(name) }

func (s *Spec) checkHead(f *faults) {
	switch {
	case s.Name == "":
		f.add("name", "a model needs a name")
	case !nameForm.MatchString(s.Name):
		f.add("name", "%q may hold only letters, digits, _ and -", cut(s.Name))
	case len(s.Name) > maxName:
		f.add("name", "has %d bytes, more than %d", len(s.Name), maxName)
	}
	text(f, "experiment", s.Experiment)
	text(f, "split.salt", s.Split.Salt)
	oneOf(f, "promotion", s.Promotion, PromotionAuto, PromotionManual)
	oneOf(f, "dataset.format", s.Dataset.Format, "", FormatCSV, FormatJSONL)
	if !utf8.ValidString(s.Dataset.Path) || strings.ContainsRune(s.Dataset.Path, 0) {
		f.add("dataset.path", "is not valid UTF-8 text")
	}
	d := s.Dataset.Delimiter
	if utf8.RuneCountInString(d) != 1 || strings.ContainsAny(d, "\"\r\n\x00\ufffd") {
		f.add("dataset.delimiter", "want one character that is no quote and no line end, got %q", cut(d))
	}
}

// kind is what a column is.
type kind int

const (
	kindNone kind = iota
	kindID
	kindTarget
	kindNumeric
	kindCategorical
	kindIgnored
)

// check returns the kind of every column, for the sections that refer to columns.
func (c *Columns) check(f *faults) map[string]kind {
	kinds, where := map[string]kind{}, map[string]string{}
	claim := func(path, name string, k kind) {
		switch {
		case !columnName(f, path, name):
		case kinds[name] != kindNone:
			f.add(path, "column %q is already used by %s", cut(name), where[name])
		default:
			kinds[name], where[name] = k, path
		}
	}
	if c.ID != "" {
		claim("columns.id", c.ID, kindID)
	}
	claim("columns.target.name", c.Target.Name, kindTarget)
	c.Target.check(f)
	for i, n := range c.Numeric {
		path := fmt.Sprintf("columns.numeric[%d]", i)
		claim(path+".name", n.Name, kindNumeric)
		n.check(f, path)
	}
	for i, n := range c.Categorical {
		path := fmt.Sprintf("columns.categorical[%d]", i)
		claim(path+".name", n.Name, kindCategorical)
		values(f, path+".values", n.Values)
		between(f, path+".max_levels", n.MaxLevels, 1, 65535)
		oneOf(f, path+".encoding", n.Encoding, "", EncodingOrdinal, EncodingOneHot, EncodingTarget, EncodingNative)
		for j, v := range n.Values {
			if slices.Contains(c.Missing, v) {
				f.add(fmt.Sprintf("%s.values[%d]", path, j), "%q is also listed in columns.missing", cut(v))
			}
		}
	}
	for i, name := range c.Ignored {
		claim(fmt.Sprintf("columns.ignored[%d]", i), name, kindIgnored)
	}
	values(f, "columns.missing", c.Missing)
	if len(c.Numeric)+len(c.Categorical) == 0 {
		f.add("columns", "there is nothing to learn from: name a numeric or a categorical column")
	}
	for _, label := range []string{c.Target.Positive, c.Target.Negative} {
		if label != "" && slices.Contains(c.Missing, label) {
			f.add("columns.target", "the label %q is also listed in columns.missing", cut(label))
		}
	}
	return kinds
}

func (t *Target) check(f *faults) {
	if word(f, "columns.target.positive", t.Positive) && t.Positive == AnyOther {
		f.add("columns.target.positive", "only the negative value may be %q", AnyOther)
	}
	if t.Negative == "" {
		f.add("columns.target.negative", "%q has no usual counterpart: name the other value, or %q for every other",
			cut(t.Positive), AnyOther)
		return
	}
	if word(f, "columns.target.negative", t.Negative) && SameWord(t.Negative, t.Positive) {
		f.add("columns.target.negative", "positive and negative value are the same: %q", cut(t.Positive))
	}
}

func (n *Numeric) check(f *faults, path string) {
	for _, b := range []struct {
		key   string
		bound *float64
	}{{".min", n.Min}, {".max", n.Max}} {
		if b.bound != nil && (math.IsNaN(*b.bound) || math.IsInf(*b.bound, 0)) {
			f.add(path+b.key, "want a finite number")
		}
	}
	oneOf(f, path+".type", n.Type, "", NumberInteger, NumberBoolean)
	if n.Min != nil && n.Max != nil && *n.Min > *n.Max {
		f.add(path+".min", "%g is greater than max, %g", *n.Min, *n.Max)
	}
}

func (s *Features) check(f *faults, kinds map[string]kind) {
	oneOf(f, "features.impute", s.Impute, ImputeMedian, ImputeNone)
	oneOf(f, "features.scale", s.Scale, ScaleStandard, ScaleNone)
	oneOf(f, "features.encoding", s.Encoding, EncodingOrdinal, EncodingOneHot, EncodingTarget, EncodingNative)
	share(f, "features.target_smoothing", s.TargetSmoothing, 0, 1e9)
	between(f, "features.target_folds", s.TargetFolds, 2, 100)
	seen := map[string]bool{}
	for i, d := range s.Derived {
		path := fmt.Sprintf("features.derived[%d]", i)
		if columnName(f, path+".name", d.Name) && (seen[d.Name] || kinds[d.Name] != kindNone) {
			f.add(path+".name", "the name %q is already used", cut(d.Name))
		}
		seen[d.Name] = true
		d.check(f, path, kinds)
	}
}

func (d *Derived) check(f *faults, path string, kinds map[string]kind) {
	want, least, most := kindNumeric, 1, math.MaxInt
	switch d.Op {
	case OpRatio, OpDifference:
		least, most = 2, 2
	case OpProduct, OpSum:
		least = 2
	case OpLog1p, OpAboveMedian:
		most = 1
	case OpCountEqual:
		want = kindCategorical
	default:
		oneOf(f, path+".op", d.Op, OpRatio, OpProduct, OpDifference, OpSum, OpLog1p, OpCountEqual, OpAboveMedian)
		return
	}
	if n := len(d.Of); n < least || n > most {
		f.add(path+".of", "%s takes %s, got %d", d.Op, arity(least, most), n)
	}
	for i, name := range d.Of {
		if kinds[name] != want {
			f.add(fmt.Sprintf("%s.of[%d]", path, i), "%q is not a %s column", cut(name), kindName(want))
		}
	}
	switch {
	case d.Op != OpCountEqual && len(d.Equals) > 0:
		f.add(path+".equals", "is for count_equal alone")
	case d.Op == OpCountEqual && len(d.Equals) == 0:
		f.add(path+".equals", "count_equal needs the values to count")
	}
	values(f, path+".equals", d.Equals)
}

func arity(least, most int) string {
	switch {
	case least == most:
		return fmt.Sprintf("%d column(s)", least)
	case most == math.MaxInt:
		return fmt.Sprintf("%d or more columns", least)
	}
	return fmt.Sprintf("%d to %d columns", least, most)
}

func kindName(k kind) string {
	if k == kindNumeric {
		return "numeric"
	}
	return "categorical"
}

// columnName reports whether name can be a column's name, and adds a fault where it can't. Names are free text, but
// readers trim headers, and the underscore names of monitors are taken.
func columnName(f *faults, path, name string) bool {
	if name == ScoreColumn || name == PerformanceColumn {
		f.add(path, "the name %q is reserved", name)
		return false
	}
	return word(f, path, name)
}

// word reports whether s is a usable value: not empty, trimmed, valid text without control characters.
func word(f *faults, path, s string) bool {
	switch {
	case s == "":
		f.add(path, "must not be empty")
	case !utf8.ValidString(s):
		f.add(path, "%q is not valid UTF-8", cut(s))
	case strings.TrimSpace(s) != s:
		f.add(path, "%q has spaces around it", cut(s))
	case strings.ContainsFunc(s, unicode.IsControl):
		f.add(path, "%q holds a control character", cut(s))
	default:
		return true
	}
	return false
}

func text(f *faults, path, s string) { word(f, path, s) }

// values checks a list of words for repetitions.
func values(f *faults, path string, list []string) {
	seen := map[string]bool{}
	for i, v := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if word(f, at, v) && seen[v] {
			f.add(at, "%q is listed twice", cut(v))
		}
		seen[v] = true
	}
}

func oneOf[T ~string](f *faults, path string, got T, allowed ...T) {
	if slices.Contains(allowed, got) {
		return
	}
	names := make([]string, 0, len(allowed))
	for _, a := range allowed {
		if a != "" {
			names = append(names, string(a))
		}
	}
	f.add(path, "want one of %s, got %q", strings.Join(names, ", "), cut(string(got)))
}

func atLeast[T int | time.Duration](f *faults, path string, got, least T) {
	if got < least {
		f.add(path, "want at least %v, got %v", least, got)
	}
}

func between(f *faults, path string, got, least, most int) {
	if got < least || got > most {
		f.add(path, "want %d to %d, got %d", least, most, got)
	}
}

// share checks least <= got <= most; a NaN fails.
func share(f *faults, path string, got, least, most float64) {
	if !(got >= least && got <= most) {
		f.add(path, "want %g to %g, got %g", least, most, got)
	}
}
