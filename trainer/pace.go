package trainer

import (
	"context"
	"fmt"
	"sync"

	"telco-churn-mlops/model/gbdt"
)

// aheadMost is by how many trees a fold may be ahead of the slowest one.
const aheadMost = 8

// pace lets the trees of all folds grow side by side and ends them together, once the mean of their losses has not improved for so many
// trees. At most so many folds as there are turns work at the same time. What it ends with depends on the losses alone, not on who was when.
type pace struct {
	patience int // 0 = never end
	weight   []float64
	turns    chan struct{}

	lock  sync.Mutex
	moved sync.Cond
	loss  [][]float64
	done  []bool
	means int // trees up to which the mean is known
	best  int // trees at the least mean so far
	least float64
	ended bool
}

func newPace(folds, turns, patience int) *pace {
	p := &pace{patience: patience, weight: make([]float64, folds), loss: make([][]float64, folds), done: make([]bool, folds), turns: make(chan struct{}, turns)}
	p.moved.L = &p.lock
	return p
}

// foldPace is the pace as one fold meets it.
type foldPace struct {
	*pace
	ctx      context.Context
	fold     int
	progress func(gbdt.Progress) error // may be nil
}

func (p *pace) of(ctx context.Context, fold int, progress func(gbdt.Progress) error) foldPace {
	return foldPace{p, ctx, fold, progress}
}

// wake lets those who wait look at their context.
func (p *pace) wake() {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.moved.Broadcast()
}

// begin waits for a turn.
func (f foldPace) begin() error {
	select {
	case f.turns <- struct{}{}:
		return nil
	case <-f.ctx.Done():
		return context.Cause(f.ctx)
	}
}

// tree records the loss after the fold's next tree, waits for folds that are behind, without a turn meanwhile, and returns an error that
// wraps gbdt.ErrEnough once all folds have enough. After any other error too the fold has its turn.
func (f foldPace) tree(t gbdt.Progress) error {
	if f.progress != nil {
		if err := f.progress(t); err != nil {
			return err
		}
	}
	f.lock.Lock()
	f.loss[f.fold] = append(f.loss[f.fold], t.ValidLoss)
	f.advance()
	if !f.ended && f.early() {
		<-f.turns
		for !f.ended && f.early() && f.ctx.Err() == nil {
			f.moved.Wait()
		}
		f.lock.Unlock()
		f.turns <- struct{}{} // comes free in a bounded time: who has a turn either works or gives it back
		f.lock.Lock()
	}
	defer f.lock.Unlock()
	switch {
	case f.ended:
		return fmt.Errorf("fold %d: %w", f.fold, gbdt.ErrEnough)
	case f.ctx.Err() != nil:
		return context.Cause(f.ctx)
	}
	return nil
}

// early reports whether the fold is too far ahead of the slowest.
func (f foldPace) early() bool { return len(f.loss[f.fold]) > f.slowest()+aheadMost }

// finish gives the turn back and says that the fold grows no more trees.
func (f foldPace) finish() {
	f.lock.Lock()
	f.done[f.fold] = true
	f.ended = f.ended || len(f.loss[f.fold]) == 0 // it failed: its error ends the others
	f.advance()
	f.lock.Unlock()
	<-f.turns
}

// slowest returns the trees of the fold that is furthest behind among those that go on.
func (p *pace) slowest() int {
	least := -1
	for j, loss := range p.loss {
		if !p.done[j] && (least < 0 || len(loss) < least) {
			least = len(loss)
		}
	}
	return max(least, 0)
}

// advance brings the mean up to the slowest fold, ends the folds if it is time, and wakes who waits.
func (p *pace) advance() {
	for p.means < p.slowest() && !p.ended {
		mean := meanLoss(p.loss, p.weight, p.means)
		p.means++
		if p.means == 1 || mean < p.least {
			p.best, p.least = p.means, mean
		}
		p.ended = p.patience > 0 && p.means-p.best >= p.patience
	}
	p.moved.Broadcast()
}

// meanLoss returns the weighted mean of the folds' losses after tree i, from 0. A fold that ran out of splits stays where it was.
func meanLoss(loss [][]float64, weight []float64, i int) float64 {
	total := 0.0
	for _, w := range weight {
		total += w
	}
	mean := 0.0
	for j := range loss {
		mean += float64(loss[j][min(i, len(loss[j])-1)] * (weight[j] / total))
	}
	return mean
}

// chooseTrees returns the mean loss after each tree up to the end, and the first number of trees at which it is least; all of them if
// patience is 0. The end is where the mean has not improved for so many trees, or the longest fold's.
func chooseTrees(loss [][]float64, weight []float64, patience int) (curve []float64, trees int) {
	longest := 0
	for _, l := range loss {
		longest = max(longest, len(l))
	}
	for i := range longest {
		curve = append(curve, meanLoss(loss, weight, i))
		if trees == 0 || patience == 0 || curve[i] < curve[trees-1] {
			trees = i + 1
		}
		if patience > 0 && i+1-trees >= patience {
			break
		}
	}
	return curve, trees
}
