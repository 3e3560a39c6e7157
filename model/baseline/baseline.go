package baseline

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Kind says what a Reference describes and so which bins it has.
type Kind string

const (
	Numeric     Kind = "numeric"     // a number by edges, then missing
	Categorical Kind = "categorical" // a text by level, then unseen, then missing
	Score       Kind = "score"       // the model's answer; bins as Numeric
)

// ScoreColumn is the column name of the reference that FitScore makes. No column of a dataset may use it.
const ScoreColumn = "_score"

// Reference is one column's frozen bins and counts. It is immutable: nobody writes to its slices. It encodes to JSON, and decoding
// refuses whatever Validate refuses. The zero value is not valid.
type Reference struct {
	Column string    `json:"column"`
	Kind   Kind      `json:"kind"`
	Edges  []float64 `json:"edges,omitempty"`  // numeric, score: inner edges, finite, ascending; bin i is (Edges[i-1], Edges[i]], the outer bins are open
	Levels []string  `json:"levels,omitempty"` // categorical: sorted by bytes
	Counts []int64   `json:"counts"`           // numeric, score: len(Edges)+1 bins, then missing. categorical: len(Levels) bins, then unseen, then missing
	Total  int64     `json:"total"`            // the sum of Counts, at least 1
}

// Period says which rows a baseline was taken from, for people to read. From and To are RFC 3339 times or empty where the rows carry
// none; Source names the rows ("training split of run r1").
type Period struct {
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Source string `json:"source"`
}

// Baseline is the reference of every monitored column and of the score. Rows is the number of rows behind the columns; the score may
// come from other rows (the holdout) and has its own Total. It is immutable, encodes to JSON, and decoding refuses what Validate
// refuses.
type Baseline struct {
	Period  Period      `json:"period"`
	Columns []Reference `json:"columns"`
	Score   Reference   `json:"score"`
	Rows    int64       `json:"rows"`
}

// Column returns the reference of a column by its name, or of the score by ScoreColumn. The pointer leads into the baseline: read only.
func (b *Baseline) Column(name string) (*Reference, bool) {
	for i := range b.Columns {
		if b.Columns[i].Column == name {
			return &b.Columns[i], true
		}
	}
	if name == ScoreColumn && b.Score.Kind == Score {
		return &b.Score, true
	}
	return nil, false
}

// Validate reports the first fault: a reference that is not valid, a score in Columns or a column in Score, two columns of one name,
// fewer than one row.
func (b *Baseline) Validate() error {
	seen := make(map[string]bool, len(b.Columns))
	for i := range b.Columns {
		r := &b.Columns[i]
		if err := r.Validate(); err != nil {
			return err
		}
		if r.Kind == Score {
			return fmt.Errorf("column %q: kind is score", r.Column)
		}
		if seen[r.Column] {
			return fmt.Errorf("column %q appears twice", r.Column)
		}
		seen[r.Column] = true
	}
	if err := b.Score.Validate(); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	if b.Score.Kind != Score {
		return fmt.Errorf("score: kind is %q", b.Score.Kind)
	}
	if b.Rows < 1 {
		return fmt.Errorf("%d rows", b.Rows)
	}
	return nil
}

// UnmarshalJSON decodes and validates. On error b is unchanged.
func (b *Baseline) UnmarshalJSON(data []byte) error {
	type plain Baseline
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("decode baseline: %w", err)
	}
	decoded := Baseline(p)
	if err := decoded.Validate(); err != nil {
		return fmt.Errorf("decode baseline: %w", err)
	}
	*b = decoded
	return nil
}

// UnmarshalJSON decodes and validates. On error r is unchanged.
func (r *Reference) UnmarshalJSON(data []byte) error {
	type plain Reference
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("decode reference: %w", err)
	}
	decoded := Reference(p)
	if err := decoded.Validate(); err != nil {
		return fmt.Errorf("decode reference: %w", err)
	}
	*r = decoded
	return nil
}

// Validate reports the first fault: no column name, an unknown kind, edges that are not finite and strictly ascending, levels that
// are not sorted, distinct and non-empty, a number of counts that does not fit the bins, a negative count, a Total that is not the
// sum of the counts or is 0.
func (r *Reference) Validate() error {
	if r.Column == "" {
		return errors.New("reference without a column name")
	}
	if err := r.validateBins(); err != nil {
		return fmt.Errorf("column %q: %w", r.Column, err)
	}
	return nil
}

func (r *Reference) validateBins() error {
	bins := 0
	switch r.Kind {
	case Numeric, Score:
		bins = len(r.Edges) + 2
		if len(r.Levels) > 0 {
			return fmt.Errorf("kind %s with levels", r.Kind)
		}
	case Categorical:
		bins = len(r.Levels) + 2
		if len(r.Edges) > 0 {
			return fmt.Errorf("kind %s with edges", r.Kind)
		}
	default:
		return fmt.Errorf("unknown kind %q", r.Kind)
	}
	for i, e := range r.Edges {
		if math.IsNaN(e) || math.IsInf(e, 0) {
			return fmt.Errorf("edge %d is %v", i, e)
		}
		if i > 0 && e <= r.Edges[i-1] {
			return fmt.Errorf("edge %d, %v, is not above edge %d, %v", i, e, i-1, r.Edges[i-1])
		}
	}
	if slices.Contains(r.Levels, "") {
		return errors.New("empty level")
	}
	for i := 1; i < len(r.Levels); i++ {
		if r.Levels[i] <= r.Levels[i-1] {
			return fmt.Errorf("level %q is not sorted after %q", r.Levels[i], r.Levels[i-1])
		}
	}
	if len(r.Counts) != bins {
		return fmt.Errorf("%d counts for %d bins", len(r.Counts), bins)
	}
	sum, err := total(r.Counts)
	if err != nil {
		return err
	}
	if sum != r.Total || sum == 0 {
		return fmt.Errorf("total %d, counts add up to %d", r.Total, sum)
	}
	return nil
}

// total adds counts, refusing negative ones and a sum that does not fit.
func total(counts []int64) (int64, error) {
	var sum int64
	for i, c := range counts {
		if c < 0 {
			return 0, fmt.Errorf("count %d is %d", i, c)
		}
		if sum > math.MaxInt64-c {
			return 0, errors.New("counts overflow")
		}
		sum += c
	}
	return sum, nil
}
