package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
)

const (
	// MaxGolden is the greatest number of golden rows in a bundle. There is always at least one.
	MaxGolden = 32
	// MarginTolerance is how far a golden row's margin may be off, as a share of the expected one.
	MarginTolerance = 1e-12
	// ProbabilityTolerance is how far a golden row's probability may be off.
	ProbabilityTolerance = 1e-9
)

// Golden is a row of the holdout with what the trainer computed for it.
type Golden struct {
	Record      json.RawMessage // the raw record, with its label
	Features    []float64       // NaN where a value is missing and not imputed
	Leaves      []int32         // the leaf reached in each tree
	Margin      float64         // log-odds
	Probability float64
}

// goldenDoc is a Golden as JSON: a missing feature is null, every other float the shortest text that reads back as the same bits.
type goldenDoc struct {
	Record      json.RawMessage `json:"record"`
	Features    []*float64      `json:"features"`
	Leaves      []int32         `json:"leaves"`
	Margin      float64         `json:"margin"`
	Probability float64         `json:"probability"`
}

// MarshalJSON writes missing features as null.
func (g Golden) MarshalJSON() ([]byte, error) {
	d := goldenDoc{Record: g.Record, Features: make([]*float64, len(g.Features)), Leaves: g.Leaves, Margin: g.Margin, Probability: g.Probability}
	for i := range g.Features {
		if !math.IsNaN(g.Features[i]) {
			d.Features[i] = &g.Features[i]
		}
	}
	return plainJSON(d, "")
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses unknown fields. On error g is unchanged.
func (g *Golden) UnmarshalJSON(data []byte) error {
	var d goldenDoc
	if err := strictJSON(data, &d); err != nil {
		return fmt.Errorf("decode golden row: %w", err)
	}
	decoded, err := d.golden()
	if err != nil {
		return fmt.Errorf("decode golden row: %w", err)
	}
	*g = decoded
	return nil
}

func (d *goldenDoc) golden() (Golden, error) {
	var record bytes.Buffer
	if err := json.Compact(&record, d.Record); err != nil {
		return Golden{}, fmt.Errorf("record: %w", err)
	}
	features := make([]float64, len(d.Features))
	for i, v := range d.Features {
		if v == nil {
			features[i] = math.NaN()
		} else {
			features[i] = *v
		}
	}
	return Golden{Record: record.Bytes(), Features: features, Leaves: d.Leaves, Margin: d.Margin, Probability: d.Probability}, nil
}

// GoldenError says that this program does not compute what the trainer did: the bundle must not be used by it.
type GoldenError struct {
	Row      int    // which golden row, from 0
	Quantity string // "record", "feature NAME", "leaf of tree N", "margin" or "probability"
	Got      float64
	Want     float64
	Err      error // why the record could not be read; nil otherwise
}

// Error names the row and what differs.
func (e *GoldenError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("golden row %d: %s: %v", e.Row, e.Quantity, e.Err)
	}
	return fmt.Sprintf("golden row %d: %s is %v, want %v", e.Row, e.Quantity, e.Got, e.Want)
}

// Unwrap returns Err.
func (e *GoldenError) Unwrap() error { return e.Err }

// Verify scores the golden rows again, from the raw record on, and returns a *GoldenError for the first that does not come out as in
// training: a feature that is another float (a missing one must be missing), another leaf in any tree, a margin off by more than
// MarginTolerance times the expected one, a probability off by more than ProbabilityTolerance. A bundle without golden rows fails too.
func (b *Bundle) Verify() error {
	if len(b.Golden) == 0 {
		return errors.New("verify bundle: no golden rows")
	}
	names := b.Pipeline.Names()
	row := b.Schema.NewRow()
	features := make([]float64, b.Pipeline.Width())
	var leaves []int32
	for i := range b.Golden {
		g := &b.Golden[i]
		fail := func(quantity string, got, want float64, err error) error {
			return fmt.Errorf("verify bundle: %w", &GoldenError{Row: i, Quantity: quantity, Got: got, Want: want, Err: err})
		}
		if _, err := b.Schema.DecodeJSON(g.Record, row, dataset.DecodeOptions{}); err != nil {
			return fail("record", 0, 0, err)
		}
		b.Pipeline.Transform(row, features)
		for k, v := range features {
			if k >= len(g.Features) || !sameFloat(v, g.Features[k]) {
				return fail("feature "+names[k], v, at(g.Features, k), nil)
			}
		}
		leaves = b.Trees.Leaves(features, leaves)
		for k, leaf := range leaves {
			if k >= len(g.Leaves) || leaf != g.Leaves[k] {
				return fail(fmt.Sprintf("leaf of tree %d", k), float64(leaf), float64(at(g.Leaves, k)), nil)
			}
		}
		margin := b.Trees.Margin(features)
		if !(math.Abs(margin-g.Margin) <= float64(MarginTolerance*math.Abs(g.Margin))) {
			return fail("margin", margin, g.Margin, nil)
		}
		if p := b.probability(margin); !(math.Abs(p-g.Probability) <= ProbabilityTolerance) {
			return fail("probability", p, g.Probability, nil)
		}
	}
	return nil
}

// at returns s[i], or zero beyond its end.
func at[T any](s []T, i int) T {
	var v T
	if i < len(s) {
		v = s[i]
	}
	return v
}

// sameFloat reports equality, two NaN being equal.
func sameFloat(a, b float64) bool { return a == b || a != a && b != b }

// golden scores one row of a table for keeps.
func (b *Bundle) golden(t *dataset.Table, r int) Golden {
	row := t.Row(r, b.Schema.NewRow())
	features := make([]float64, b.Pipeline.Width())
	b.Pipeline.Transform(row, features)
	margin := b.Trees.Margin(features)
	return Golden{
		Record:      b.Schema.AppendJSON(nil, row, true),
		Features:    features,
		Leaves:      b.Trees.Leaves(features, nil),
		Margin:      margin,
		Probability: b.probability(margin),
	}
}

// checkGolden holds the golden rows to the pipeline's and the trees' shape.
func (b *Bundle) checkGolden() error {
	if n := len(b.Golden); n < 1 || n > MaxGolden {
		return fmt.Errorf("%d golden rows, want 1 to %d", n, MaxGolden)
	}
	for i := range b.Golden {
		g := &b.Golden[i]
		if len(g.Features) != b.Pipeline.Width() || len(g.Leaves) != b.Trees.Trees() {
			return fmt.Errorf("golden row %d: %d features and %d leaves, want %d and %d",
				i, len(g.Features), len(g.Leaves), b.Pipeline.Width(), b.Trees.Trees())
		}
	}
	return nil
}

// chooseGolden returns at most MaxGolden of the rows, ascending by their place in rows. It takes, in this order, the first row of each
// label, of each column that is missing, of each column with an unseen value, of each level; then rows evenly spread over the rest.
func chooseGolden(p *feature.Pipeline, t *dataset.Table, rows []int) []int {
	if rows == nil {
		rows = make([]int, t.Len())
		for i := range rows {
			rows[i] = i
		}
	}
	chosen := make(map[int]bool) // places in rows
	take := func(i int) {
		if len(chosen) < MaxGolden {
			chosen[i] = true
		}
	}
	row := t.Schema().NewRow()
	for _, facts := range []func([]fact, *dataset.Row) []fact{labelFact, missingFacts, unseenFacts(p), levelFacts} {
		covered := make(map[fact]bool)
		var found []fact
		for i, r := range rows {
			if len(chosen) == MaxGolden {
				break
			}
			found = facts(found[:0], t.Row(r, row))
			for _, f := range found {
				if !covered[f] {
					covered[f] = true
					take(i)
				}
			}
		}
	}
	for k := range MaxGolden {
		take(k * len(rows) / MaxGolden)
	}
	var out []int
	for i, r := range rows {
		if chosen[i] {
			out = append(out, r)
		}
	}
	return slices.Clip(out)
}

// fact is something about a row that golden rows should show once.
type fact struct {
	slot int
	text string
}

func labelFact(facts []fact, row *dataset.Row) []fact {
	return append(facts, fact{slot: int(row.Label)})
}

// missingFacts counts numeric columns up from 0 and categorical ones down from -1.
func missingFacts(facts []fact, row *dataset.Row) []fact {
	for i, v := range row.Num {
		if v != v {
			facts = append(facts, fact{slot: i})
		}
	}
	for i, v := range row.Cat {
		if v == "" {
			facts = append(facts, fact{slot: -1 - i})
		}
	}
	return facts
}

func unseenFacts(p *feature.Pipeline) func([]fact, *dataset.Row) []fact {
	return func(facts []fact, row *dataset.Row) []fact {
		for _, column := range p.Unseen(row) {
			facts = append(facts, fact{text: column})
		}
		return facts
	}
}

func levelFacts(facts []fact, row *dataset.Row) []fact {
	for i, v := range row.Cat {
		facts = append(facts, fact{slot: i, text: v})
	}
	return facts
}
