package feature

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// Fit learns a pipeline for the spec from the given rows of the table and from nothing else; nil stands for all rows. The schema must
// be the one compiled from the spec, and the table's.
//
// weight is nil or gives each of the rows a weight, finite and not negative; a row of weight 0 is as if it were not there, and equal
// weights are as good as none. The order of the rows does not matter, except for rounding in sums of unequal weights that are not whole.
//
// It fails on no rows, a row that is not in the table, bad weights, a derived feature whose inputs do not exist, a column whose numbers
// are so great that a median, mean or scale overflows, and a level that is not valid UTF-8.
func Fit(s *spec.Spec, sch *dataset.Schema, t *dataset.Table, rows []int, weight []float64) (*Pipeline, error) {
	src, err := newSource(sch, t, rows, weight)
	if err != nil {
		return nil, fmt.Errorf("fit features: %w", err)
	}
	p, err := outline(s, sch)
	if err != nil {
		return nil, fmt.Errorf("fit features: %w", err)
	}
	p.rows = len(src.rows)
	limits := maxLevels(s)
	err = parallel(len(p.numeric)+len(p.categorical), func(i int) error {
		if i < len(p.numeric) {
			return p.numeric[i].fit(src, p.settings)
		}
		c := &p.categorical[i-len(p.numeric)]
		return c.fit(src, limits[c.name])
	})
	if err != nil {
		return nil, fmt.Errorf("fit features: %w", err)
	}
	err = parallel(len(p.derived), func(i int) error {
		c := &p.derived[i]
		if c.op == spec.OpAboveMedian {
			c.bound, _ = p.Median(c.of[0])
		}
		return c.fit(src, p.settings)
	})
	if err != nil {
		return nil, fmt.Errorf("fit features: %w", err)
	}
	p.names = p.featureNames()
	return p, nil
}

// outline returns a pipeline for a spec with everything that does not depend on data.
func outline(s *spec.Spec, sch *dataset.Schema) (*Pipeline, error) {
	p := &Pipeline{settings: settings{
		impute: s.Features.Impute == spec.ImputeMedian,
		scale:  s.Features.Scale == spec.ScaleStandard,
		onehot: s.Features.Encoding == spec.EncodingOneHot,
	}}
	for slot, name := range sch.Numeric() {
		p.numeric = append(p.numeric, numericColumn{name: name, slot: slot})
	}
	for slot, name := range sch.Categorical() {
		p.categorical = append(p.categorical, categoricalColumn{name: name, slot: slot})
	}
	for _, d := range s.Features.Derived {
		c, err := newDerived(d, sch)
		if err != nil {
			return nil, err
		}
		p.derived = append(p.derived, c)
	}
	if len(p.numeric)+len(p.categorical) == 0 {
		return nil, errors.New("the spec has no numeric and no categorical column")
	}
	return p, nil
}

func maxLevels(s *spec.Spec) map[string]int {
	limits := make(map[string]int, len(s.Columns.Categorical))
	for _, c := range s.Columns.Categorical {
		limits[c.Name] = c.MaxLevels
	}
	return limits
}

// source is the fitting rows.
type source struct {
	schema *dataset.Schema
	table  *dataset.Table
	rows   []int     // rows of weight 0 left out
	weight []float64 // parallel to rows; nil if all are equal
}

func newSource(sch *dataset.Schema, t *dataset.Table, rows []int, weight []float64) (*source, error) {
	if rows == nil {
		rows = make([]int, t.Len())
		for i := range rows {
			rows[i] = i
		}
	}
	if weight != nil && len(weight) != len(rows) {
		return nil, fmt.Errorf("%d weights for %d rows", len(weight), len(rows))
	}
	for _, r := range rows {
		if r < 0 || r >= t.Len() {
			return nil, fmt.Errorf("row %d of a table of %d", r, t.Len())
		}
	}
	if weight == nil {
		if len(rows) == 0 {
			return nil, errors.New("no rows")
		}
		return &source{schema: sch, table: t, rows: rows}, nil
	}
	src := &source{schema: sch, table: t}
	equal := true
	for i, w := range weight {
		if !(w >= 0) || math.IsInf(w, 1) {
			return nil, fmt.Errorf("weight %d is %v, want a finite number of at least 0", i, w)
		}
		if w == 0 {
			continue
		}
		src.rows = append(src.rows, rows[i])
		src.weight = append(src.weight, w)
		equal = equal && w == src.weight[0]
	}
	if len(src.rows) == 0 {
		return nil, errors.New("no row with a weight above 0")
	}
	if equal {
		src.weight = nil
	}
	return src, nil
}

// at returns the weight of the i-th fitting row.
func (s *source) at(i int) float64 {
	if s.weight == nil {
		return 1
	}
	return s.weight[i]
}

func (c *numericColumn) fit(src *source, set settings) error {
	column := src.table.Numeric(c.slot)
	values := make([]float64, len(src.rows))
	for i, r := range src.rows {
		values[i] = column[r]
	}
	var err error
	if c.moments, err = fitMoments(values, src, set); err != nil {
		return fmt.Errorf("column %q: %w", c.name, err)
	}
	return nil
}

func (c *derivedColumn) fit(src *source, set settings) error {
	row := src.schema.NewRow() // eval looks at its inputs only, so only they are filled
	values := make([]float64, len(src.rows))
	for i, r := range src.rows {
		for _, slot := range c.slots {
			if c.op == spec.OpCountEqual {
				row.Cat[slot] = src.table.Category(slot, r)
			} else {
				row.Num[slot] = src.table.Numeric(slot)[r]
			}
		}
		values[i] = c.eval(row)
	}
	var err error
	if c.moments, err = fitMoments(values, src, set); err != nil {
		return fmt.Errorf("derived feature %q: %w", c.name, err)
	}
	return nil
}

// fit counts the levels, keeps the most frequent ones up to the limit and decides what missing and unseen values stand for.
func (c *categoricalColumn) fit(src *source, limit int) error {
	counts := make(map[string]float64)
	missing := false
	for i, r := range src.rows {
		if v := src.table.Category(c.slot, r); v != "" {
			counts[v] += src.at(i)
		} else {
			missing = true
		}
	}
	levels := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { // most frequent first, ties by bytes
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	if len(levels) > limit {
		c.folded = len(levels) - limit
		levels = levels[:limit:limit]
	}
	for _, level := range levels {
		if !utf8.ValidString(level) { // JSON could not hold it, and a vocabulary that changes on the way is a trap
			return fmt.Errorf("column %q: level %q is not valid UTF-8", c.name, level)
		}
	}
	c.missing, c.unseen = missingCode, unseenCode
	if len(levels) == 0 {
		c.setLevels(nil)
		return nil
	}
	mode := levels[0]
	slices.Sort(levels)
	c.setLevels(levels)
	common := firstLevel + c.place(mode)
	if !missing {
		c.missing = common
	}
	if c.folded == 0 {
		c.unseen = common
	}
	return nil
}

// parallel calls fn for 0 to n-1 on as many goroutines as there are processors and returns the error of the least number that failed.
func parallel(n int, fn func(int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = fn(i)
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
