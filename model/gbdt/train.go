package gbdt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Progress is what training reports after each tree.
type Progress struct {
	// Tree is the number of trees so far, those of Params.Init not counted.
	Tree int
	// TrainLoss and ValidLoss are weighted means of the logistic loss; ValidLoss is NaN without validation data.
	TrainLoss, ValidLoss float64
}

// Report is what training found out. Its numbers of trees do not count those of Params.Init.
type Report struct {
	// Trees is the number of trees in the ensemble, and BestTree the number of trees at which the validation loss was least:
	// the first such number, or the number grown without validation data. With Params.Init that may be 0, where no tree grown made
	// the loss less than Init's; else it is at least 1.
	Trees, BestTree int
	// InitLoss is the validation loss of Params.Init alone, 0 without Init or validation data.
	InitLoss float64
	// TrainLoss and ValidLoss hold the loss after each tree grown, those that early stopping cut off included. ValidLoss is nil
	// without validation data. Both are empty if nothing could be added to Params.Init.
	TrainLoss, ValidLoss []float64
}

// Train fits an ensemble to the training matrix: it is [Quantize] and then [TrainData], and the errors are theirs. It blocks until done,
// or until ctx ends or onTree, which may be nil, returns an error; that error is then in the chain of the one returned, unless it is
// [ErrEnough]. onTree is called after each tree from Train's goroutine.
//
// Names must be distinct and not empty; any character is allowed (see [Ensemble.WriteText]). Rows of weight 0 count in
// MinChildRows and in the choice of bins but not in the loss. It is an error, naming the matrix, row and field, if a matrix has
// no rows, a wrong shape, a label other than 0 or 1, a negative or infinite weight or an infinite value. Columns that are constant or all
// missing are never split.
func Train(ctx context.Context, p Params, featureNames []string, train Matrix, valid *Matrix, onTree func(Progress) error) (*Ensemble, Report, error) {
	if err := checkFor(&p, featureNames); err != nil {
		return nil, Report{}, err
	}
	if err := train.check(len(featureNames)); err != nil {
		return nil, Report{}, fmt.Errorf("check training matrix: %w", err)
	}
	if valid != nil {
		if err := valid.check(len(featureNames)); err != nil {
			return nil, Report{}, fmt.Errorf("check validation matrix: %w", err)
		}
	}
	data, err := Quantize(ctx, p, featureNames, train.Source())
	if err != nil {
		return nil, Report{}, fmt.Errorf("read training matrix: %w", err)
	}
	var validData *Data
	if valid != nil {
		if validData, err = data.Quantize(ctx, p, valid.Source()); err != nil {
			return nil, Report{}, fmt.Errorf("read validation matrix: %w", err)
		}
	}
	return TrainData(ctx, p, data, validData, onTree)
}

// TrainData fits an ensemble to quantized rows. p must have the MaxBins, Categorical and Init that the rows were quantized with, else it is an
// error; the rest of it may differ from call to call. valid may be nil if early stopping is off; else it must have the bins of train,
// that is come from [Data.Quantize] or the same [Bins]. It blocks, and calls onTree, as [Train] does.
//
// Growth ends before p.Trees if no split is worth making on all rows and columns, or by early stopping; with that, the ensemble is
// cut to the trees with the least validation loss, which may be those of Init alone. If no split is worth making at all, the ensemble is Init, or
// without it one leaf with the base score. It is an error if the training labels are of a single class, unless BaseScore or Init is set, and if weights are all 0 or
// their sum overflows.
func TrainData(ctx context.Context, p Params, train, valid *Data, onTree func(Progress) error) (*Ensemble, Report, error) {
	if err := checkFor(&p, train.bins.names); err != nil {
		return nil, Report{}, err
	}
	if err := checkData(&p, train, valid); err != nil {
		return nil, Report{}, err
	}
	b := &boosting{params: p, threads: p.threads(), data: train, onTree: onTree}
	if err := b.begin(valid); err != nil {
		return nil, Report{}, err
	}
	if err := b.boost(ctx); err != nil {
		return nil, b.report, err
	}
	infos := make([]string, len(train.columns))
	for f := range train.columns {
		infos[f] = train.columns[f].info()
	}
	return newEnsemble(slices.Clone(train.bins.names), infos, p.text(), b.trees), b.report, nil
}

// checkData reports what does not fit between the parameters and the data.
func checkData(p *Params, train, valid *Data) error {
	b := train.bins
	if p.MaxBins != b.maxBins {
		return fmt.Errorf("check parameters: MaxBins is %d, the data were quantized with %d", p.MaxBins, b.maxBins)
	}
	categorical := 0
	for f := range b.columns {
		if b.columns[f].categorical {
			categorical++
			if !slices.Contains(p.Categorical, f) {
				return fmt.Errorf("check parameters: Categorical lacks feature %s, as which the data were quantized", b.names[f])
			}
		}
	}
	if categorical != len(p.Categorical) {
		return fmt.Errorf("check parameters: Categorical names %d features, the data were quantized with %d of them", len(p.Categorical), categorical)
	}
	for _, d := range []*Data{train, valid} {
		if d != nil && d.init != p.Init {
			return errors.New("check parameters: Init is not the ensemble that the data were quantized with")
		}
	}
	if p.Init != nil && !slices.Equal(p.Init.names, b.names) {
		return fmt.Errorf("check parameters: Init has the features %q, the data %q", p.Init.names, b.names)
	}
	if p.Init != nil && (p.Init.objective.sigmoid != 1 || p.Init.objective.average) {
		return errors.New("check parameters: Init is not a sum of trees whose margins are log-odds")
	}
	if valid != nil && valid.bins != b {
		return errors.New("check validation data: it was quantized with other bins than the training data")
	}
	if valid == nil && p.EarlyStoppingRounds > 0 {
		return errors.New("check parameters: EarlyStoppingRounds needs validation data")
	}
	return nil
}

// boosting is the state of one call of TrainData.
type boosting struct {
	params  Params
	threads int
	data    *Data
	onTree  func(Progress) error

	base         float64
	unit         float64
	train, valid *margins
	trees        []tree
	grown        int
	// least is the least validation loss so far, that of report.BestTree.
	least  float64
	report Report
}

// begin weighs the classes and sets the margins that boosting starts from.
func (b *boosting) begin(valid *Data) error {
	// A sum that is too small to take a logarithm of is nothing.
	const least = 1e-300
	factor := b.params.positiveWeight()
	c := b.data.weigh(factor)
	if math.IsInf(c.total, 1) || math.IsInf(c.unit, 1) {
		return errors.New("check training data: the sum of weights overflows")
	}
	if c.total < least {
		return fmt.Errorf("check training data: the sum of weights is %v", c.total)
	}
	switch {
	case b.params.Init != nil:
		b.trees = slices.Clone(b.params.Init.trees)
	case b.params.BaseScore != nil:
		b.base = *b.params.BaseScore
	case c.positive < least || c.total-c.positive < least:
		return fmt.Errorf("check training data: labels are of a single class: weight %v of %v is positive", c.positive, c.total)
	default:
		b.base = log(c.positive) - log(c.total-c.positive)
	}
	b.unit = c.unit
	b.train = newMargins(b.data, c, factor)
	if valid != nil {
		c := valid.weigh(1)
		if math.IsInf(c.total, 1) || math.IsInf(c.unit, 1) || c.total < least {
			return fmt.Errorf("check validation data: the sum of weights is %v", c.total)
		}
		b.valid = newMargins(valid, c, 1)
	}
	return nil
}

// boost grows the trees one after another.
func (b *boosting) boost(ctx context.Context) error {
	g := newGrower(b.params, b.data, scale{g: b.unit / (1 << firstBits), h: b.unit / (1 << secondBits)})
	g.wants = b.valid != nil || b.params.Subsample < 1
	if b.params.Init == nil {
		b.train.set(b.threads, b.base)
	}
	b.train.derive(b.threads, g.pairs)
	b.least = math.Inf(1)
	if b.params.Init != nil && b.valid != nil {
		b.least = b.valid.derive(b.threads, nil)
		b.report.InitLoss = b.least
	}
	var splittable []int
	for f := range b.data.columns {
		if b.data.columns[f].splittable() {
			splittable = append(splittable, f)
		}
	}
	var all []int32
	if b.params.Subsample < 1 {
		all = sequence(b.data.Len())
	}
	rows, features := all, splittable
	sampled := b.params.Subsample < 1 || b.params.ColumnSample < 1 || b.params.samplesNodes()
	for round := range b.params.Trees {
		if len(features) == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("grow tree %d: %w", round+1, err)
		}
		random := rand.NewPCG(b.params.Seed, uint64(round))
		if b.params.Subsample < 1 {
			rows = choose(random, rows[:0:0], all, shareOf(b.params.Subsample, len(all)))
		}
		if b.params.ColumnSample < 1 {
			features = choose(random, nil, splittable, shareOf(b.params.ColumnSample, len(splittable)))
		}
		t, leaves, err := g.grow(ctx, round, rows, features)
		if err != nil {
			return fmt.Errorf("grow tree %d: %w", round+1, err)
		}
		if len(t.feature) == 0 {
			if sampled {
				continue
			}
			break
		}
		stop, err := b.add(t, g, leaves)
		if err != nil {
			return fmt.Errorf("after tree %d: %w", b.grown, err)
		}
		if stop {
			break
		}
	}
	return b.finish(g)
}

// add takes a tree into the ensemble, brings margins, derivatives and losses up to date and reports whether to stop.
func (b *boosting) add(t *tree, g *grower, leaves []leaf) (stop bool, err error) {
	if len(b.trees) == 0 {
		t.addBias(b.base)
		b.train.set(b.threads, 0)
	}
	b.trees = append(b.trees, *t)
	b.grown++
	b.train.add(b.threads, g.settle(leaves), t.leafValue, b.data.hops(t, g.hops))
	p := Progress{Tree: b.grown, TrainLoss: b.train.derive(b.threads, g.pairs), ValidLoss: math.NaN()}
	b.report.TrainLoss = append(b.report.TrainLoss, p.TrainLoss)
	if b.valid == nil {
		b.report.BestTree = p.Tree
	} else {
		b.valid.add(b.threads, nil, t.leafValue, b.valid.data.hops(t, g.hops))
		p.ValidLoss = b.valid.derive(b.threads, nil)
		b.report.ValidLoss = append(b.report.ValidLoss, p.ValidLoss)
		if p.ValidLoss < b.least || p.Tree == 1 && b.params.Init == nil {
			b.least, b.report.BestTree = p.ValidLoss, p.Tree
		}
	}
	if b.onTree != nil {
		switch err := b.onTree(p); {
		case errors.Is(err, ErrEnough):
			return true, nil
		case err != nil:
			return false, err
		}
	}
	rounds := b.params.EarlyStoppingRounds
	return rounds > 0 && p.Tree-b.report.BestTree >= rounds, nil
}

// settle returns the leaf of each row, a negative number for rows that the tree was not grown on. The result is valid until the next tree.
func (g *grower) settle(leaves []leaf) []int32 {
	leafOf := g.scratch[:g.data.Len()]
	if len(g.index) < len(leafOf) {
		for i := range leafOf {
			leafOf[i] = -1
		}
	}
	parallel(g.workers(len(g.index)), len(leaves), func(i int) {
		for _, r := range g.index[leaves[i].low:leaves[i].high] {
			leafOf[r] = int32(i)
		}
	})
	return leafOf
}

// finish cuts the ensemble to its best tree if early stopping is on, and makes one of a single leaf if nothing could be split.
func (b *boosting) finish(g *grower) error {
	if len(b.trees) == 0 {
		g.begin(0, nil, nil)
		total := g.sum()
		t := &tree{leafValue: []float64{0}, leafWeight: []float64{float64(float64(total.h) * g.unit.h)}, leafCount: []int64{total.rows}, shrinkage: 1}
		if _, err := b.add(t, g, []leaf{{high: b.data.Len()}}); err != nil {
			return fmt.Errorf("after tree 1: %w", err)
		}
	}
	if b.params.EarlyStoppingRounds > 0 {
		b.trees = slices.Clip(b.trees[:len(b.trees)-b.grown+b.report.BestTree])
		b.grown = b.report.BestTree
	}
	b.report.Trees = b.grown
	return nil
}
