package feature

import (
	"cmp"
	"errors"
	"fmt"
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
// weights are as good as none. The order of the rows does not matter, not to a bit, and neither does the number of processors.
//
// It takes a few passes over the columns and, beside the table, a few megabytes per processor, whatever the number of rows.
//
// It fails on no rows, a row that is not in the table, bad weights, a derived feature whose inputs do not exist, a column whose numbers
// are so great that a median, mean or scale overflows, a level that is not valid UTF-8, and with target encoding on a row without
// a label.
func Fit(s *spec.Spec, sch *dataset.Schema, t *dataset.Table, rows []int, weight []float64) (*Pipeline, error) {
	p, _, err := fitRows(s, sch, t, rows, weight)
	return p, err
}

// FitTransform fits as Fit does and returns the features of the fitting rows beside the pipeline, as a learner should see them: with
// target encoding a row's value comes from the labels of the other folds alone (see the package comment). All other features are
// what Transform gives. The source has the given rows in their order, those of weight 0 too, and weights 1 where weight is nil.
func FitTransform(s *spec.Spec, sch *dataset.Schema, t *dataset.Table, rows []int, weight []float64) (*Pipeline, *Source, error) {
	p, in, err := fitRows(s, sch, t, rows, weight)
	if err != nil {
		return nil, nil, err
	}
	src, err := p.Source(t, rows, weight)
	if err != nil {
		return nil, nil, fmt.Errorf("transform fitted rows: %w", err)
	}
	src.foldOut(p, in)
	return p, src, nil
}

func fitRows(s *spec.Spec, sch *dataset.Schema, t *dataset.Table, rows []int, weight []float64) (*Pipeline, *fitting, error) {
	in, err := newFitting(t, rows, weight)
	if err != nil {
		return nil, nil, fmt.Errorf("fit features: %w", err)
	}
	p, err := outline(s, sch)
	if err != nil {
		return nil, nil, fmt.Errorf("fit features: %w", err)
	}
	if p.usesTarget() {
		if err := in.readLabels(); err != nil {
			return nil, nil, fmt.Errorf("fit features: %w", err)
		}
	}
	p.rows = in.len()
	if err := p.fitColumns(s, in); err != nil {
		return nil, nil, fmt.Errorf("fit features: %w", err)
	}
	p.names = p.featureNames()
	p.compile()
	return p, in, nil
}

func (p *Pipeline) fitColumns(s *spec.Spec, in *fitting) error {
	limits := make(map[string]int, len(s.Columns.Categorical))
	for _, c := range s.Columns.Categorical {
		limits[c.Name] = c.MaxLevels
	}
	err := parallel(len(p.numeric)+len(p.categorical), func(i, threads int) error {
		if i < len(p.numeric) {
			return p.numeric[i].fit(in, p.settings, threads)
		}
		c := &p.categorical[i-len(p.numeric)]
		return c.fit(in, limits[c.name], p.settings)
	})
	if err != nil {
		return err
	}
	return parallel(len(p.derived), func(i, threads int) error {
		c := &p.derived[i]
		if c.op == spec.OpAboveMedian {
			c.bound, _ = p.Median(c.of[0])
		}
		return c.fit(in, p.settings, threads)
	})
}

// outline returns a pipeline for a spec with everything that does not depend on data.
func outline(s *spec.Spec, sch *dataset.Schema) (*Pipeline, error) {
	p := &Pipeline{settings: settings{
		impute:    s.Features.Impute == spec.ImputeMedian,
		scale:     s.Features.Scale == spec.ScaleStandard,
		encoding:  s.Features.Encoding,
		smoothing: s.Features.TargetSmoothing,
		folds:     s.Features.TargetFolds,
	}}
	encodings := make(map[string]string, len(s.Columns.Categorical))
	for _, c := range s.Columns.Categorical {
		encodings[c.Name] = s.EncodingOf(c)
	}
	for slot, name := range sch.Numeric() {
		p.numeric = append(p.numeric, numericColumn{name: name, slot: slot})
	}
	for slot, name := range sch.Categorical() {
		p.categorical = append(p.categorical, categoricalColumn{name: name, slot: slot, encoding: encodings[name]})
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

// usesTarget reports whether a column has target encoding.
func (p *Pipeline) usesTarget() bool {
	return slices.ContainsFunc(p.categorical, func(c categoricalColumn) bool { return c.encoding == spec.EncodingTarget })
}

func (c *numericColumn) fit(in *fitting, set settings, threads int) error {
	column := in.table.Numeric(c.slot)
	var err error
	c.moments, err = fitMoments(in, set, threads, func(lo, hi int, dst []float64) {
		if in.rows == nil {
			copy(dst, column[lo:hi])
			return
		}
		for i, r := range in.rows[lo:hi] {
			dst[i] = column[r]
		}
	})
	if err != nil {
		return fmt.Errorf("column %q: %w", c.name, err)
	}
	return nil
}

func (c *derivedColumn) fit(in *fitting, set settings, threads int) error {
	values := in.counted
	if c.op != spec.OpCountEqual {
		values = in.combined
	}
	var err error
	if c.moments, err = fitMoments(in, set, threads, values(c)); err != nil {
		return fmt.Errorf("derived feature %q: %w", c.name, err)
	}
	return nil
}

// combined yields a derived feature of numbers.
func (in *fitting) combined(c *derivedColumn) func(lo, hi int, dst []float64) {
	columns, slots := make([][]float64, len(c.slots)), make([]int, len(c.slots))
	for i, slot := range c.slots {
		columns[i], slots[i] = in.table.Numeric(slot), i
	}
	return func(lo, hi int, dst []float64) {
		num := make([]float64, len(columns))
		for i := range dst {
			r := in.row(lo + i)
			for k, column := range columns {
				num[k] = column[r]
			}
			dst[i] = combine(c.op, slots, c.bound, num)
		}
	}
}

// counted yields a count_equal, with one look-up per different word.
func (in *fitting) counted(c *derivedColumn) func(lo, hi int, dst []float64) {
	codes, add := make([]dataset.Codes, len(c.slots)), make([][]float64, len(c.slots))
	for i, slot := range c.slots {
		codes[i] = in.table.Codes(slot)
		for _, w := range in.table.Words(slot) {
			v := 0.0
			if w == "" {
				v = nan
			} else if slices.Contains(c.equals, w) {
				v = 1
			}
			add[i] = append(add[i], v)
		}
	}
	return func(lo, hi int, dst []float64) {
		for i := range dst {
			r, v := in.row(lo+i), 0.0
			for k := range codes {
				v += add[k][codes[k].At(r)]
			}
			dst[i] = v
		}
	}
}

// fit weighs the levels, keeps the most frequent ones up to the limit and decides what missing and unseen values stand for.
func (c *categoricalColumn) fit(in *fitting, limit int, set settings) error {
	words := in.table.Words(c.slot)
	tally := in.tally(c.slot)
	var levels []int // codes
	for code := 1; code < len(words); code++ {
		if tally.rows[code] > 0 {
			levels = append(levels, code)
		}
	}
	slices.SortFunc(levels, func(a, b int) int { // most frequent first, ties by bytes
		return cmp.Or(cmp.Compare(tally.weight[b], tally.weight[a]), cmp.Compare(words[a], words[b]))
	})
	if len(levels) > limit {
		c.folded = len(levels) - limit
		levels = levels[:limit]
	}
	for _, code := range levels {
		if !utf8.ValidString(words[code]) { // JSON could not hold it, and a vocabulary that changes on the way is a trap
			return fmt.Errorf("column %q: level %q is not valid UTF-8", c.name, words[code])
		}
		c.levels = append(c.levels, words[code])
	}
	slices.Sort(c.levels)
	mode := -1
	if len(levels) > 0 {
		mode, _ = slices.BinarySearch(c.levels, words[levels[0]])
	}
	c.setCodes(mode, tally.rows[0] > 0)
	if c.encoding == spec.EncodingTarget {
		g := tally.group(words, c.levels)
		c.target = g.smooth(set.smoothing)
	}
	return nil
}

// parallel calls fn for 0 to n-1 on as many goroutines as there are processors, with the number of goroutines that each call may
// start for its part, and returns the error of the least number that failed.
func parallel(n int, fn func(i, threads int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var wait sync.WaitGroup
	most := runtime.GOMAXPROCS(0)
	for range min(n, most) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = fn(i, (most+n-1)/n)
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
