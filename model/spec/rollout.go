package spec

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The words of a Plan.
const (
	// PlanDirect makes a version that passed its gates Production at once, and watches it then. It is the default.
	PlanDirect Plan = "direct"
	// PlanCanary is the plan of a canary begun by hand that names none.
	PlanCanary Plan = "canary 5% -> 25% -> 100%"

	canaryWord = "canary"
	arrow      = "->"
	maxSteps   = 20
)

// Plan says by which shares a version becomes Production: "direct", or "canary" and shares of the entities with arrows between them,
// "canary 5% -> 25% -> 100%". The last share is 100%, which is the promotion.
type Plan string

// Shares returns the shares of a canary's steps, above 0 and ascending to 1, and nil for direct. The error says what is wrong with the text.
func (p Plan) Shares() ([]float64, error) {
	words := strings.TrimSpace(string(p))
	if words == string(PlanDirect) {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(words, canaryWord)
	if !ok || strings.TrimLeft(rest, " \t") == rest {
		return nil, fmt.Errorf("want %s, or shares such as %q, got %q", PlanDirect, PlanCanary, cut(words))
	}
	var shares []float64
	for _, step := range strings.Split(rest, arrow) {
		number, percent := strings.CutSuffix(strings.TrimSpace(step), "%")
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		switch {
		case !percent || err != nil || math.IsNaN(v):
			return nil, fmt.Errorf("want a share such as 5%%, got %q", cut(strings.TrimSpace(step)))
		case v <= 0 || v > 100:
			return nil, fmt.Errorf("want a share above 0%% and up to 100%%, got %s", cut(strings.TrimSpace(step)))
		case len(shares) > 0 && v/100 <= shares[len(shares)-1]:
			return nil, fmt.Errorf("shares must grow, %s does not", cut(strings.TrimSpace(step)))
		}
		shares = append(shares, v/100)
	}
	switch {
	case shares[len(shares)-1] != 1:
		return nil, fmt.Errorf("the last share must be 100%%, which is the promotion")
	case len(shares) == 1:
		return nil, fmt.Errorf("a canary needs a share below 100%%: for none write %s", PlanDirect)
	case len(shares) > maxSteps:
		return nil, fmt.Errorf("has %d shares, more than %d", len(shares), maxSteps)
	}
	return shares, nil
}

// PlanOf returns the plan of shares as Shares returns them.
func PlanOf(shares []float64) Plan {
	if len(shares) == 0 {
		return PlanDirect
	}
	steps := make([]string, len(shares))
	for i, s := range shares {
		steps[i] = strconv.FormatFloat(math.Round(s*1e8)/1e6, 'f', -1, 64) + "%"
	}
	return Plan(canaryWord + " " + strings.Join(steps, " "+arrow+" "))
}

// Rollout says how a version that passed its gates becomes Production, and what ends that.
type Rollout struct {
	Plan  Plan  `yaml:"plan" omit:"direct"` // direct (default), or canary with shares
	Watch Watch `yaml:"watch" omit:""`      // what each step, and a fresh Production, must hold
}

// Watch is what ends a step of a rollout, and what breaks it. A limit of 0 is off. The defaults, and why they are what they are, stand in
// docs/rollout.md.
type Watch struct {
	Requests   int           `yaml:"requests" omit:"500"`     // records that the watched version answered end a step; default 500
	Duration   time.Duration `yaml:"duration" omit:"10m0s"`   // ends a step too, whichever comes first; default 10m
	MinRows    int           `yaml:"min_rows" omit:"300"`     // fewer give no verdict on latency, scores and labels; default 300
	ErrorRatio float64       `yaml:"error_ratio" omit:"0.01"` // share of failed requests, 0 to 1; default 0.01
	P95Ratio   float64       `yaml:"p95_ratio" omit:"3"`      // times the other version's 95th percentile of latency; default 3
	P95Floor   time.Duration `yaml:"p95_floor" omit:"5ms"`    // a 95th percentile up to it is never too slow; default 5ms
	ScorePSI   float64       `yaml:"score_psi" omit:"0.25"`   // of scores, against the version's own reference and the other version both; default 0.25
	F1Drop     float64       `yaml:"f1_drop" omit:"0.1"`      // F1 under the other version's, 0 to 1; default 0.1
}

// DefaultRollout returns the rollout of a spec without the section: direct, with a watch of 500 records or 10 minutes.
func DefaultRollout() Rollout {
	return Rollout{Plan: PlanDirect, Watch: Watch{
		Requests: 500, Duration: 10 * time.Minute, MinRows: 300, ErrorRatio: 0.01, P95Ratio: 3, P95Floor: 5 * time.Millisecond, ScorePSI: 0.25,
		F1Drop: 0.1,
	}}
}

func (r *Rollout) check(f *faults) {
	if _, err := r.Plan.Shares(); err != nil {
		f.add("rollout.plan", "%s", err)
	}
	r.Watch.check(f)
}

// Validate returns all faults of a watch joined, or nil; their paths begin with rollout.watch.
func (w Watch) Validate() error {
	var f faults
	w.check(&f)
	return f.err()
}

func (w *Watch) check(f *faults) {
	const at = "rollout.watch."
	between(f, at+"requests", w.Requests, 1, 1_000_000_000)
	atLeast(f, at+"duration", w.Duration, time.Millisecond)
	between(f, at+"min_rows", w.MinRows, 1, 10_000_000)
	if w.MinRows > w.Requests {
		f.add(at+"min_rows", "%d rows are more than the %d requests that end a step", w.MinRows, w.Requests)
	}
	share(f, at+"error_ratio", w.ErrorRatio, 0, 1)
	if w.P95Ratio != 0 {
		share(f, at+"p95_ratio", w.P95Ratio, 1, 1e6)
	}
	atLeast(f, at+"p95_floor", w.P95Floor, 0)
	share(f, at+"score_psi", w.ScorePSI, 0, 100)
	share(f, at+"f1_drop", w.F1Drop, 0, 1)
}

// complete writes the plan in its one form, so that two writings of the same plan have the same digest.
func (r *Rollout) complete() {
	if shares, err := r.Plan.Shares(); err == nil {
		r.Plan = PlanOf(shares)
	}
}

// With returns the watch with values set by their keys, written as in a spec: "requests": "1000", "duration": "5m". It returns every fault joined, and
// validates what comes of it.
func (w Watch) With(values map[string]string) (Watch, error) {
	var f faults
	v := reflect.ValueOf(&w).Elem()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		path := "rollout.watch." + key
		field, ok := fieldByKey(v, key)
		if !ok {
			f.add(path, "unknown key, want one of: %s", strings.Join(keys(v.Type()), ", "))
			continue
		}
		var err error
		switch text := values[key]; {
		case field.Type() == reflect.TypeFor[time.Duration]():
			err = setDuration(field, text)
		case field.Kind() == reflect.Int:
			err = setInt(field, text)
		default:
			err = setFloat(field, text)
		}
		if err != nil {
			f.add(path, "%s", err)
		}
	}
	if err := f.err(); err != nil {
		return w, err
	}
	return w, w.Validate()
}
