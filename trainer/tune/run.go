package tune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"telco-churn-mlops/model/eval"
)

// Objective is what is searched. Both methods get the values of all parameters by name and must give the same for the same arguments.
type Objective interface {
	// Score cross-validates on the rows outside of outer fold arm, or on all rows where arm is the number of outer folds. loss is what
	// chooses: less is better.
	Score(ctx context.Context, arm int, point map[string]float64) (loss float64, figures map[string]float64, err error)
	// Judge fits on the rows outside of an outer fold and returns figures of the fold itself, the same names each time.
	Judge(ctx context.Context, arm int, point map[string]float64) (figures map[string]float64, err error)
}

// FailedTrial is an error of Objective.Score that says that these parameters can't be used: the trial counts as the worst, and the search
// goes on.
type FailedTrial struct{ Err error }

func (e *FailedTrial) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FailedTrial) Unwrap() error { return e.Err }

// Log is where finished work is kept. [Journal] is one.
type Log interface{ Append(Entry) error }

// Config says what to search and for how long. Space, First, Outer, Objective and Log are required, and Trials or Budget.
type Config struct {
	Space Space
	First Point // the present parameters
	Seed  uint64
	Outer int // folds
	// Trials bounds the trials of each arm, the present parameters counted; 0 = no bound.
	Trials int
	// Budget bounds the time of all recorded trials; the round that passes it is finished. 0 = no bound.
	Budget    time.Duration
	Objective Objective
	// Done are the entries that the log holds already.
	Done []Entry
	Log  Log
	// Now is a clock; nil means time.Now.
	Now func() time.Time
	// OnEntry is called for each finished piece of work, those of Done included; nil means nothing.
	OnEntry func(Entry)
}

// Bound names what ends a search.
type Bound string

// The bounds of a search.
const (
	ByTrials Bound = "trials" // Config.Trials were made
	ByBudget Bound = "budget" // Config.Budget is spent, and fewer than Config.Trials were made
)

// Outcome is what a search found.
type Outcome struct {
	Trials int           // of each arm
	Bound  Bound         // what ended the search
	Spent  time.Duration // on all trials and judgements
	// Ranked are the trials of the arm of all rows, best first. Their losses flatter: see Outer.
	Ranked []Entry
	// Outer are the judgements, by outer fold.
	Outer []Judgement
	// Compared are the chosen parameters less the present ones, over the outer folds, by figure.
	Compared map[string]eval.PairedCV
}

// Judgement is what an outer fold says of the present parameters and of those that the search on the other rows chose.
type Judgement struct {
	Present, Chosen Entry
}

// Best returns the trial that the search on all rows found best.
func (o *Outcome) Best() Entry { return o.Ranked[0] }

// Improves reports whether a figure of the chosen parameters is better on rows that the search never saw, by more than chance explains: the 95 %
// interval of the paired difference lies on the better side of zero. lessIsBetter is said of the figure.
func (o *Outcome) Improves(figure string, lessIsBetter bool) bool {
	c, ok := o.Compared[figure]
	low, defined := c.Low.Value()
	high, _ := c.High.Value()
	switch {
	case !ok || !defined:
		return false
	case lessIsBetter:
		return high < 0
	}
	return low > 0
}

// Worsens reports whether a figure of the chosen parameters is worse on rows that the search never saw, by more than chance explains.
func (o *Outcome) Worsens(figure string, lessIsBetter bool) bool {
	return o.Improves(figure, !lessIsBetter)
}

func (c *Config) validate() error {
	if err := c.Space.Validate(); err != nil {
		return err
	}
	switch {
	case len(c.First) != len(c.Space):
		return fmt.Errorf("%d present values for %d parameters", len(c.First), len(c.Space))
	case c.Outer < 2:
		return fmt.Errorf("%d outer folds, want 2 at least", c.Outer)
	case c.Trials < 0 || c.Budget < 0 || c.Trials == 0 && c.Budget == 0:
		return errors.New("the search needs a bound on its trials or its time")
	case c.Objective == nil || c.Log == nil:
		return errors.New("objective or log is nil")
	}
	return nil
}

// place names a piece of work.
type place struct {
	arm, trial int
	judged     bool
}

// runner is the state of one call of Run.
type runner struct {
	Config
	have  map[place]Entry
	arms  []*Search
	trial [][]Entry // by arm
	// present are the judgements of the present parameters, by outer fold.
	present []Entry
	spent   float64 // seconds of trials
	total   float64 // and of judgements
}

// Run judges the present parameters, searches until a bound is reached, judges what was chosen, and returns the outcome. It blocks; it ends early with the context, with the objective's error
// unless that is a *FailedTrial, and with the log's. Called again with the entries logged so far it goes on where it was. It is an error if
// these are not what this search would have made.
func Run(ctx context.Context, c Config) (*Outcome, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	r := &runner{Config: c, have: map[place]Entry{}, trial: make([][]Entry, c.Outer+1)}
	for _, e := range c.Done {
		r.have[place{e.Arm, e.Trial, e.Judged}] = e
	}
	for arm := range c.Outer + 1 {
		r.arms = append(r.arms, NewSearch(c.Space, c.First, c.Seed+uint64(arm)<<32))
	}
	for arm := range c.Outer { // what can't work is known before hours of trials
		e, err := r.work(ctx, place{arm, 0, true}, c.First)
		if err != nil {
			return nil, fmt.Errorf("tune: judge the present parameters on outer fold %d: %w", arm, err)
		}
		r.present = append(r.present, e)
	}
	for round := 0; r.more(round); round++ {
		for arm := range r.arms {
			if err := r.search(ctx, arm, round); err != nil {
				return nil, fmt.Errorf("tune: trial %d of arm %d: %w", round, arm, err)
			}
		}
	}
	out, err := r.judge(ctx)
	if err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	return out, nil
}

// more reports whether to begin a round. There is always a first one.
func (r *runner) more(round int) bool {
	if round == 0 {
		return true
	}
	return (r.Trials == 0 || round < r.Trials) && (r.Budget == 0 || r.spent < r.Budget.Seconds())
}

// search makes the next trial of an arm, or takes it from the log.
func (r *runner) search(ctx context.Context, arm, trial int) error {
	s := r.arms[arm]
	e, err := r.work(ctx, place{arm, trial, false}, s.Next())
	if err != nil {
		return err
	}
	loss := math.Inf(1)
	if e.Loss != nil {
		loss = *e.Loss
	}
	s.Tell(loss)
	r.trial[arm] = append(r.trial[arm], e)
	r.spent += e.Seconds
	return nil
}

// work returns the entry of a piece of work, made now if it is not in the log.
func (r *runner) work(ctx context.Context, at place, p Point) (Entry, error) {
	point := make(map[string]float64, len(p))
	for i, d := range r.Space {
		point[d.Name] = p[i]
	}
	e, ok := r.have[at]
	if ok && !maps.Equal(e.Point, point) {
		return e, fmt.Errorf("the log holds %v, this search is at %v", e.Point, point)
	}
	if !ok {
		var err error
		if e, err = r.compute(ctx, at, point); err != nil {
			return e, err
		}
	}
	r.total += e.Seconds
	if r.OnEntry != nil {
		r.OnEntry(e)
	}
	return e, nil
}

func (r *runner) compute(ctx context.Context, at place, point map[string]float64) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, context.Cause(ctx)
	}
	e := Entry{Arm: at.arm, Trial: at.trial, Judged: at.judged, Point: point}
	began := r.Now()
	var loss float64
	var err error
	if at.judged {
		e.Figures, err = r.Objective.Judge(ctx, at.arm, maps.Clone(point))
	} else {
		loss, e.Figures, err = r.Objective.Score(ctx, at.arm, maps.Clone(point))
	}
	e.Seconds = r.Now().Sub(began).Seconds()
	var failed *FailedTrial
	switch {
	case errors.As(err, &failed) && !at.judged && at.trial > 0: // the present parameters must work
		e.Failed = failed.Error()
	case err != nil:
		return e, err
	case at.judged:
	case math.IsNaN(loss) || math.IsInf(loss, 0):
		e.Failed = fmt.Sprintf("the loss is %v", loss)
	default:
		e.Loss = &loss
	}
	if err := r.Log.Append(e); err != nil {
		return e, fmt.Errorf("log: %w", err)
	}
	return e, nil
}

// judge compares, on each outer fold, what its arm found best with the present parameters.
func (r *runner) judge(ctx context.Context) (*Outcome, error) {
	out := &Outcome{Trials: r.arms[0].Trials(), Bound: ByBudget, Compared: map[string]eval.PairedCV{}}
	if out.Trials == r.Trials {
		out.Bound = ByTrials
	}
	values := [2]map[string][]float64{{}, {}}
	for arm := range r.Outer {
		j := Judgement{Present: r.present[arm], Chosen: r.present[arm]}
		if best := r.arms[arm].Ranked()[0]; best > 0 {
			var err error
			if j.Chosen, err = r.work(ctx, place{arm, best, true}, r.arms[arm].points[best]); err != nil {
				return nil, fmt.Errorf("judge trial %d on outer fold %d: %w", best, arm, err)
			}
		}
		for k, e := range []Entry{j.Present, j.Chosen} {
			for name, v := range e.Figures {
				values[k][name] = append(values[k][name], v)
			}
		}
		out.Outer = append(out.Outer, j)
	}
	for name, present := range values[0] {
		c, err := eval.CompareCV(values[1][name], present, r.Outer)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", name, err)
		}
		out.Compared[name] = c
	}
	for _, i := range r.arms[r.Outer].Ranked() {
		out.Ranked = append(out.Ranked, r.trial[r.Outer][i])
	}
	out.Spent = time.Duration(float64(r.total * float64(time.Second)))
	return out, nil
}
