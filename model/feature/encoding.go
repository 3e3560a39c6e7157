package feature

import (
	"math"

	"telco-churn-mlops/model/spec"
)

// Codes of ordinal encoding. A level's code is firstLevel plus its place in the vocabulary.
const (
	missingCode = 0
	unseenCode  = 1
	firstLevel  = 2
)

// keepMissing is the missing_code of native encoding where the fitting rows held missing values: the feature is then NaN, for which
// the trees have learned a side.
const keepMissing = -1

// categoricalColumn is what is fitted to a categorical column.
type categoricalColumn struct {
	name     string
	slot     int // in Row.Cat
	encoding string
	levels   []string // the vocabulary, sorted by bytes
	folded   int      // rarer levels of the fitting rows that are treated as unseen
	missing  int      // ordinal, native: the code where the column is missing
	unseen   int      // ordinal, native: the code where the column's value is not in levels
	target   targetValues
}

// targetValues are the smoothed shares of positive labels of target encoding.
type targetValues struct {
	levels          []float64 // parallel to the vocabulary
	missing, unseen float64
}

// coded reports whether the column has a code for missing and one for unseen values.
func (c *categoricalColumn) coded() bool {
	return c.encoding == spec.EncodingOrdinal || c.encoding == spec.EncodingNative
}

// first returns the code of the first level.
func (c *categoricalColumn) first() int {
	if c.encoding == spec.EncodingNative {
		return 0
	}
	return firstLevel
}

// own returns the codes that a missing and an unseen value have where the fitting rows held such values.
func (c *categoricalColumn) own() (missing, unseen int) {
	if c.encoding == spec.EncodingNative {
		return keepMissing, len(c.levels)
	}
	return missingCode, unseenCode
}

// setCodes decides what missing and unseen values stand for: a code of their own if the fitting rows held any, else the code of
// the most frequent level, whose place in the vocabulary is mode; -1 says that there are no levels.
func (c *categoricalColumn) setCodes(mode int, sawMissing bool) {
	if !c.coded() {
		return
	}
	c.missing, c.unseen = c.own()
	if mode < 0 {
		return
	}
	if !sawMissing {
		c.missing = c.first() + mode
	}
	if c.folded == 0 {
		c.unseen = c.first() + mode
	}
}

// places returns how many features the column has.
func (c *categoricalColumn) places() int {
	if c.encoding == spec.EncodingOneHot {
		return len(c.levels) + 2
	}
	return 1
}

// value returns the feature of the level at a place in the vocabulary, of an unseen value for -1, of a missing one for -2. With one-hot
// encoding it is the place, among the column's features, of the one that is 1.
func (c *categoricalColumn) value(level int) float64 {
	switch c.encoding {
	case spec.EncodingOneHot:
		return float64(pickGroup(level, level, len(c.levels), len(c.levels)+1))
	case spec.EncodingTarget:
		if level >= 0 {
			return c.target.levels[level]
		}
		return pickGroup(level, 0, c.target.unseen, c.target.missing)
	}
	code := pickGroup(level, c.first()+level, c.unseen, c.missing)
	if code == keepMissing {
		return math.NaN()
	}
	return float64(code)
}

// The groups of values that are no level.
const (
	groupUnseen  = -1
	groupMissing = -2
)

// pickGroup returns what belongs to a level, to unseen or to missing values.
func pickGroup[T any](level int, of, unseen, missing T) T {
	switch level {
	case groupUnseen:
		return unseen
	case groupMissing:
		return missing
	}
	return of
}
