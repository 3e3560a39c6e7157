package backtest

import (
	"math"
	"slices"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
)

// Side is one of the two models of a report.
type Side struct {
	// Version is 0 for a bundle that is no version, and for what was answered then, which is Logged.
	Version int    `json:"version,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Logged  bool   `json:"logged,omitempty"`
	// MeanScore is over all rows, Scores counts them in 20 equal bins of [0, 1].
	MeanScore float64  `json:"mean_score"`
	Scores    []uint64 `json:"scores"`
	// Confusion, F1 and ROCAUC are over the labelled rows; absent where there is nothing to say.
	Confusion *events.Confusion `json:"confusion,omitempty"`
	F1        *float64          `json:"f1,omitempty"`
	ROCAUC    *float64          `json:"roc_auc,omitempty"`
}

// Change is a row and by how much its score changed.
type Change struct {
	PredictionID string    `json:"prediction_id"`
	EntityID     string    `json:"entity_id,omitempty"`
	Sequence     uint64    `json:"sequence"`
	At           time.Time `json:"at"`
	Answered     int       `json:"answered_by"` // the version that answered then
	Against      float64   `json:"against_score"`
	Score        float64   `json:"score"`
	Flip         bool      `json:"flip"`
}

func (c *Change) by() float64 { return math.Abs(c.Score - c.Against) }

// Own counts the rows that the candidate answered itself, and those of them that did not come again to the bit.
type Own struct {
	Rows      uint64 `json:"rows"`
	Differing uint64 `json:"differing"`
	// First is the prediction id of the first that differs.
	First string `json:"first,omitempty"`
}

// Report is the outcome of a run.
type Report struct {
	Model string `json:"model"`
	// From and Through are the first and last sequence of PREDICTIONS, FirstAt and LastAt when their rows were stored.
	From    uint64    `json:"from_sequence"`
	Through uint64    `json:"through_sequence"`
	FirstAt time.Time `json:"first_at,omitzero"`
	LastAt  time.Time `json:"last_at,omitzero"`
	// Against is what the candidate is compared with.
	Against   Side `json:"against"`
	Candidate Side `json:"candidate"`
	// Rows were compared, Skipped were not, by reason, and LeftOut were answered by another version than the one asked for.
	Rows    uint64            `json:"rows"`
	Skipped map[string]uint64 `json:"skipped,omitempty"`
	LeftOut uint64            `json:"left_out,omitempty"`
	// Answered counts the rows of the period by the version that answered then.
	Answered map[int]uint64 `json:"answered_by"`
	// Differing rows have scores that are not the same bits; flips have another label.
	Differing   uint64  `json:"differing"`
	Flips       uint64  `json:"flips"`
	ToPositive  uint64  `json:"to_positive"`
	ToNegative  uint64  `json:"to_negative"`
	MeanAbsDiff float64 `json:"mean_abs_diff"`
	MaxAbsDiff  float64 `json:"max_abs_diff"`
	// PSI is that of the candidate's scores against the other's.
	PSI      float64  `json:"psi"`
	Labelled uint64   `json:"labelled"`
	Own      Own      `json:"own"`
	Changed  []Change `json:"changed,omitempty"`
	// Slices are the values of categorical columns in which the mean score changed most.
	Slices    []Slice `json:"slices,omitempty"`
	DurationS float64 `json:"duration_s"`
}

func newReport(c *Config) *Report {
	r := &Report{Model: c.Model, Skipped: map[string]uint64{}, Answered: map[int]uint64{},
		Candidate: Side{Version: c.Candidate.Version, Digest: c.Candidate.Digest}, Against: Side{Logged: true}}
	if c.Against != nil {
		r.Against = Side{Version: c.Against.Version, Digest: c.Against.Digest}
	}
	return r
}

// keep keeps the top rows by change, the earlier of two that changed alike.
func (r *Report) keep(c Change, top int) {
	if c.by() == 0 || len(r.Changed) == top && (top == 0 || c.by() <= r.Changed[top-1].by()) {
		return
	}
	at, _ := slices.BinarySearchFunc(r.Changed, c, func(have, c Change) int {
		if have.by() >= c.by() {
			return -1
		}
		return 1
	})
	r.Changed = slices.Insert(r.Changed, at, c)
	r.Changed = r.Changed[:min(top, len(r.Changed))]
}

// finish fills in what follows from the counts.
func (r *runner) finish(took time.Duration) {
	rep := r.report
	rep.Differing, rep.Flips = r.tally.Differing, r.tally.Flips()
	rep.ToPositive, rep.ToNegative = r.tally.ToPositive, r.tally.ToNegative
	rep.MeanAbsDiff, rep.MaxAbsDiff, rep.PSI = r.tally.MeanAbs(), r.tally.MaxAbs, r.tally.PSI()
	rep.Against.MeanScore, rep.Candidate.MeanScore = r.tally.Means()
	rep.Against.Scores, rep.Candidate.Scores = r.tally.First[:], r.tally.Second[:]
	for i, s := range []*Side{&rep.Against, &rep.Candidate} {
		if rep.Labelled == 0 {
			break
		}
		s.Confusion = &r.judged[i]
		if f1, ok := compare.F1(s.Confusion); ok {
			s.F1 = &f1
		}
		if auc, ok := r.ranks[i].AUC(); ok {
			s.ROCAUC = &auc
		}
	}
	rep.Slices = r.slices.most()
	rep.DurationS = took.Seconds()
}
