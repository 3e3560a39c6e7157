package gbdt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
)

// Progress is what training reports after each tree.
type Progress struct {
	// Tree is the number of trees so far.
	Tree int
	// TrainLoss and ValidLoss are weighted means of the logistic loss; ValidLoss is NaN without a validation matrix.
	TrainLoss, ValidLoss float64
}

// Report is what training found out.
type Report struct {
	// Trees is the number of trees in the ensemble, and BestTree the number of trees at which the validation loss was least:
	// the first such number, or Trees without a validation matrix.
	Trees, BestTree int
	// TrainLoss and ValidLoss hold the loss after each tree grown, those that early stopping cut off included. ValidLoss is nil
	// without a validation matrix.
	TrainLoss, ValidLoss []float64
}

// Train fits an ensemble to the training matrix. It blocks until done, or until ctx ends or onTree, which may be nil, returns
// an error; that error is then in the chain of the one returned. onTree is called after each tree from Train's goroutine.
//
// Growth ends before p.Trees if no split is worth making on all rows and columns, or by early stopping. valid may be nil if
// early stopping is off; with both, the ensemble is cut to the trees with the least validation loss.
//
// Names must be distinct and not empty; any character is allowed (see [Ensemble.WriteText]). Rows of weight 0 count in
// MinChildRows and in the choice of bins but not in the loss. It is an error, naming the matrix, row and field, if a matrix has
// no rows, a wrong shape, a label other than 0 or 1, a negative or infinite weight or an infinite value, or if the training
// labels are of a single class. Columns that are constant or all missing are never split.
func Train(ctx context.Context, p Params, featureNames []string, train Matrix, valid *Matrix, onTree func(Progress) error) (*Ensemble, Report, error) {
	if err := p.Validate(); err != nil {
		return nil, Report{}, fmt.Errorf("check parameters: %w", err)
	}
	if err := checkNames(featureNames); err != nil {
		return nil, Report{}, fmt.Errorf("check feature names: %w", err)
	}
	if err := checkMatrices(p, featureNames, train, valid); err != nil {
		return nil, Report{}, err
	}
	threads := p.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	columns, err := cutColumns(p, threads, featureNames, train)
	if err != nil {
		return nil, Report{}, fmt.Errorf("check training matrix: %w", err)
	}
	b := &boosting{params: p, threads: threads, train: train, valid: valid, columns: columns, onTree: onTree}
	if p.MaxBins <= 255 {
		err = boost[uint8](ctx, b)
	} else {
		err = boost[uint16](ctx, b)
	}
	if err != nil {
		return nil, b.report, err
	}
	infos := make([]string, len(columns))
	for f, c := range columns {
		infos[f] = c.info()
	}
	return newEnsemble(slices.Clone(featureNames), infos, p.text(), b.trees), b.report, nil
}

// checkNames refuses names that the text format cannot tell apart.
func checkNames(names []string) error {
	if len(names) == 0 {
		return errors.New("no features")
	}
	seen := make(map[string]int, len(names))
	for i, name := range names {
		if name == "" {
			return fmt.Errorf("feature %d has no name", i)
		}
		if first, ok := seen[name]; ok {
			return fmt.Errorf("features %d and %d are both named %q", first, i, name)
		}
		seen[name] = i
	}
	return nil
}

func checkMatrices(p Params, names []string, train Matrix, valid *Matrix) error {
	if err := train.check(len(names)); err != nil {
		return fmt.Errorf("check training matrix: %w", err)
	}
	positive, total := train.classWeights()
	if math.IsInf(total, 1) {
		return errors.New("check training matrix: the sum of weights overflows")
	}
	// A sum that is too small to take a logarithm of is no class either.
	const least = 1e-300
	if positive < least || total-positive < least {
		return fmt.Errorf("check training matrix: labels are of a single class: weight %v of %v is positive", positive, total)
	}
	if valid == nil {
		if p.EarlyStoppingRounds > 0 {
			return errors.New("check parameters: EarlyStoppingRounds needs a validation matrix")
		}
		return nil
	}
	if err := valid.check(len(names)); err != nil {
		return fmt.Errorf("check validation matrix: %w", err)
	}
	if _, total := valid.classWeights(); math.IsInf(total, 1) || total < least {
		return fmt.Errorf("check validation matrix: the sum of weights is %v", total)
	}
	return nil
}

// boosting is the state of one call of Train.
type boosting struct {
	params  Params
	threads int
	train   Matrix
	valid   *Matrix
	columns []column
	onTree  func(Progress) error

	margin, validMargin []float64
	total, validTotal   float64
	trees               []tree
	report              Report
}

// boost grows the trees one after another.
func boost[T binIndex](ctx context.Context, b *boosting) error {
	g := newGrower[T](b.params, b.threads, b.columns, b.train)
	base := b.begin()
	var splittable []int
	for f, c := range b.columns {
		if c.splittable() {
			splittable = append(splittable, f)
		}
	}
	all := make([]int32, b.train.Rows)
	for i := range all {
		all[i] = int32(i)
	}
	rows, features := all, splittable
	sampled := b.params.Subsample < 1 || b.params.ColumnSample < 1
	for round := range b.params.Trees {
		if len(features) == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("grow tree %d: %w", round+1, err)
		}
		if sampled {
			random := rand.NewPCG(b.params.Seed, uint64(round))
			if b.params.Subsample < 1 {
				rows = choose(random, rows[:0:0], all, shareOf(b.params.Subsample, len(all)))
			}
			if b.params.ColumnSample < 1 {
				features = choose(random, nil, splittable, shareOf(b.params.ColumnSample, len(splittable)))
			}
		}
		b.derive(g.derivatives, base)
		t, leaves, err := g.grow(ctx, rows, features)
		if err != nil {
			return fmt.Errorf("grow tree %d: %w", round+1, err)
		}
		if len(t.feature) == 0 {
			if sampled {
				continue
			}
			break
		}
		stop, err := b.add(t, base, g.index, leaves)
		if err != nil {
			return fmt.Errorf("after tree %d: %w", len(b.trees), err)
		}
		if stop {
			break
		}
	}
	return b.finish(base)
}

// begin sets the margins to zero and returns the base score, the log-odds of the positive share.
func (b *boosting) begin() float64 {
	positive, total := b.train.classWeights()
	b.total = total
	b.margin = make([]float64, b.train.Rows)
	if b.valid != nil {
		_, b.validTotal = b.valid.classWeights()
		b.validMargin = make([]float64, b.valid.Rows)
	}
	return log(positive) - log(total-positive)
}

// derive sets the derivatives of the loss at the present margins; before the first tree these are the base score.
func (b *boosting) derive(derivatives []pair, base float64) {
	m := b.train
	first := len(b.trees) == 0
	parallel(b.threads, blocks(m.Rows), func(k int) {
		low, high := block(k, m.Rows)
		for i := low; i < high; i++ {
			margin := b.margin[i]
			if first {
				margin = base
			}
			p := Sigmoid(margin)
			w := m.weight(i)
			derivatives[i] = pair{g: float64(w * (p - m.Label[i])), h: float64(w * float64(p*(1-p)))}
		}
	})
}

// add takes a tree into the ensemble, brings margins and losses up to date and reports whether to stop.
func (b *boosting) add(t *tree, base float64, index []int32, leaves []leaf) (stop bool, err error) {
	if len(b.trees) == 0 {
		t.addBias(base)
	}
	b.trees = append(b.trees, *t)
	var flat flatTrees
	flat.add(t)
	if len(index) == b.train.Rows {
		parallel(b.threads, len(leaves), func(i int) {
			for _, r := range index[leaves[i].low:leaves[i].high] {
				b.margin[r] += t.leafValue[i]
			}
		})
	} else {
		flat.addMargins(b.threads, b.train, b.margin)
	}
	p := Progress{Tree: len(b.trees), TrainLoss: logLoss(b.threads, b.train, b.margin, b.total), ValidLoss: math.NaN()}
	b.report.TrainLoss = append(b.report.TrainLoss, p.TrainLoss)
	if b.valid == nil {
		b.report.BestTree = p.Tree
	} else {
		flat.addMargins(b.threads, *b.valid, b.validMargin)
		p.ValidLoss = logLoss(b.threads, *b.valid, b.validMargin, b.validTotal)
		losses := append(b.report.ValidLoss, p.ValidLoss)
		if p.Tree == 1 || p.ValidLoss < losses[b.report.BestTree-1] {
			b.report.BestTree = p.Tree
		}
		b.report.ValidLoss = losses
	}
	if b.onTree != nil {
		if err := b.onTree(p); err != nil {
			return false, err
		}
	}
	rounds := b.params.EarlyStoppingRounds
	return rounds > 0 && p.Tree-b.report.BestTree >= rounds, nil
}

// finish cuts the ensemble to its best tree if early stopping is on, and makes one of a single leaf if nothing could be split.
func (b *boosting) finish(base float64) error {
	if len(b.trees) == 0 {
		var total cell
		for i := range b.train.Rows {
			p := Sigmoid(base)
			total.h += float64(b.train.weight(i) * float64(p*(1-p)))
			total.rows++
		}
		t := &tree{leafValue: []float64{0}, leafWeight: []float64{total.h}, leafCount: []int64{total.rows}}
		_, err := b.add(t, base, nil, nil)
		b.report.Trees = 1
		if err != nil {
			return fmt.Errorf("after tree 1: %w", err)
		}
		return nil
	}
	if b.params.EarlyStoppingRounds > 0 {
		b.trees = slices.Clip(b.trees[:b.report.BestTree])
	}
	b.report.Trees = len(b.trees)
	return nil
}

// addMargins adds the sum of the trees to the margin of every row.
func (f *flatTrees) addMargins(threads int, m Matrix, margin []float64) {
	parallel(threads, blocks(m.Rows), func(b int) {
		low, high := block(b, m.Rows)
		for i := low; i < high; i++ {
			margin[i] += f.margin(m.Row(i))
		}
	})
}
