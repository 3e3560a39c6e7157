package explain

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"telco-churn-mlops/model/dataset"
)

// MaxReasons bounds the reasons of an explanation.
const MaxReasons = 5

const (
	weakest   = 0.01 // of the strongest amount: what is weaker is no reason
	longValue = 60   // bytes of a value in a sentence
)

// values fills the columns with the record's values and amounts of 0. The texts of numbers share one string.
func (e *Explainer) values(row *dataset.Row, dst *Explanation, s *scratch) {
	dst.Columns = slices.Grow(dst.Columns[:0], len(e.columns))[:len(e.columns)]
	s.text, s.order = s.text[:0], s.order[:0]
	for i := range e.columns {
		c := &e.columns[i]
		dst.Columns[i] = Contribution{Column: c.name}
		if c.kind == word {
			dst.Columns[i].Value = row.Cat[c.slot]
		} else {
			s.text = appendValue(s.text, c.kind, row.Num[c.slot])
		}
		s.order = append(s.order, len(s.text))
	}
	text, from := string(s.text), 0
	for i, to := range s.order {
		if e.columns[i].kind != word {
			dst.Columns[i].Value = text[from:to]
		}
		from = to
	}
}

func appendValue(dst []byte, kind columnKind, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return dst
	case kind == boolean:
		return strconv.AppendBool(dst, v != 0)
	}
	return dataset.AppendNumber(dst, v)
}

// reasons writes the sentences, which share one string.
func (e *Explainer) reasons(dst *Explanation, s *scratch) {
	dst.Reasons, s.text, s.order = dst.Reasons[:0], s.text[:0], s.order[:0]
	for i := range dst.Columns {
		s.order = append(s.order, i)
	}
	size := func(i int) float64 { return math.Abs(dst.Columns[i].Amount) }
	slices.SortStableFunc(s.order, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	least := 0.0
	if len(s.order) > 0 {
		least = weakest * size(s.order[0])
	}
	var ends [MaxReasons]int
	n := 0
	for _, i := range s.order {
		if n == MaxReasons || !(size(i) > 0 && size(i) >= least) {
			break
		}
		s.text = e.columns[i].appendReason(s.text, &dst.Columns[i])
		ends[n] = len(s.text)
		n++
	}
	text, from := string(s.text), 0
	for _, to := range ends[:n] {
		dst.Reasons = append(dst.Reasons, text[from:to])
		from = to
	}
}

func (c *column) appendReason(dst []byte, why *Contribution) []byte {
	dst = append(dst, c.name...)
	if why.Value == "" {
		dst = append(dst, " is missing"...)
	} else {
		dst = append(append(dst, " is "...), short(why.Value)...)
		if c.kind == word && !c.known[why.Value] {
			dst = append(dst, ", which the model was not trained with"...)
		}
	}
	if why.Amount > 0 {
		dst = append(dst, ": raises the score by "...)
	} else {
		dst = append(dst, ": lowers the score by "...)
	}
	return strconv.AppendFloat(dst, math.Abs(why.Amount), 'g', 3, 64)
}

// short cuts a value that is too long for a sentence, between characters.
func short(s string) string {
	if len(s) <= longValue {
		return s
	}
	end := 0
	for i := range s {
		if i > longValue {
			break
		}
		end = i
	}
	return s[:end] + "..."
}

// AppendJSON appends the explanation as an object: bias, raw_score, contributions with the amount of each column, reasons. It allocates only what
// dst grows by.
func (x *Explanation) AppendJSON(dst []byte) []byte {
	dst = dataset.AppendNumber(append(dst, `{"bias":`...), x.Bias)
	dst = dataset.AppendNumber(append(dst, `,"raw_score":`...), x.Raw)
	dst = append(dst, `,"contributions":{`...)
	for i := range x.Columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dataset.AppendString(dst, x.Columns[i].Column), ':')
		dst = dataset.AppendNumber(dst, x.Columns[i].Amount)
	}
	dst = x.AppendReasons(append(dst, `},"reasons":`...))
	return append(dst, '}')
}

// AppendReasons appends the reasons as a list.
func (x *Explanation) AppendReasons(dst []byte) []byte {
	dst = append(dst, '[')
	for i, r := range x.Reasons {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = dataset.AppendString(dst, r)
	}
	return append(dst, ']')
}
