package events

import (
	"fmt"
	"time"
)

// RolloutState is how a rollout stands.
type RolloutState string

const (
	RolloutRunning    RolloutState = "running"     // in force, as long as the promotion it names is Production's
	RolloutCompleted  RolloutState = "completed"   // passed; a canary's candidate is Production by then
	RolloutRolledBack RolloutState = "rolled_back" // a limit of the watch was broken, or no instance could load it
	RolloutAborted    RolloutState = "aborted"     // a person ended it, or another promotion came
)

// RolloutMode is how a version is tried.
type RolloutMode string

const (
	RolloutCanary RolloutMode = "canary" // the candidate answers a share of the entities
	RolloutShadow RolloutMode = "shadow" // the candidate scores what was answered and answers nothing
	RolloutDirect RolloutMode = "direct" // the watch of a fresh Production; only its end is written
)

// RolloutCause says why a rollout changed.
type RolloutCause string

const (
	RolloutByGate     RolloutCause = "gate"        // begun by a verdict, as the spec plans
	RolloutManually   RolloutCause = "manual"      // by a person
	RolloutStep       RolloutCause = "step"        // a step passed, the next one begins
	RolloutBreach     RolloutCause = "breach"      // a limit of the watch was broken: see the evidence
	RolloutSuperseded RolloutCause = "superseded"  // another promotion or rollout took its place
	RolloutPassed     RolloutCause = "passed"      // the last step passed
	RolloutLoadFailed RolloutCause = "load_failed" // the candidate's bundle could not be loaded
)

// RolloutWatch is what ends a step and what breaks it. A limit of 0 is off.
type RolloutWatch struct {
	// Requests that the candidate answered, or DurationMS since the step began, end a step, whichever comes first; 0 leaves that one out.
	Requests   int   `json:"requests"`
	DurationMS int64 `json:"duration_ms"`
	// ErrorRatio is the greatest share of failed requests.
	ErrorRatio float64 `json:"error_ratio"`
	// P95Ratio is how many times the other version's 95th percentile of latency is allowed; below P95FloorMS, in milliseconds, any is.
	P95Ratio   float64 `json:"p95_ratio"`
	P95FloorMS float64 `json:"p95_floor_ms"`
	// ScorePSI is the greatest PSI of the scores, against the version's own reference and the other version's scores both.
	ScorePSI float64 `json:"score_psi"`
	// F1Drop is by how much F1 may stay under the other version's.
	F1Drop float64 `json:"f1_drop"`
	// MinRows is how many records a check of scores or labels needs.
	MinRows int `json:"min_rows"`
}

// RolloutChanged states the rollout of a model: the last valid message on its subject. Published by the registry as a compare-and-set on the
// subject, revisions consecutive from 1; read by inference, which splits by it, by the shadow worker and by the pages. One in state running
// holds only while the promotion that Production rests on is PromotionSequence, so that any promotion ends it at once.
type RolloutChanged struct {
	Revision int          `json:"revision"`
	State    RolloutState `json:"state"`
	Mode     RolloutMode  `json:"mode"`
	// Version is the candidate; in mode direct the fresh Production.
	Version int      `json:"version"`
	RunID   string   `json:"run_id,omitempty"`
	Bundle  Artifact `json:"bundle,omitzero"`
	// Production is the version beside which the candidate stands, PromotionSequence its promotion; in mode direct the version that was replaced (0 for
	// none) and the fresh Production's own promotion.
	Production        int    `json:"production"`
	PromotionSequence uint64 `json:"promotion_sequence"`
	// Share of the entities, 0 to 1, that the candidate answers; 0 in mode shadow.
	Share float64 `json:"share"`
	// Step is the place of Share in Plan, from 0. Plan holds the shares of the steps, ascending; the last one is 1, the promotion.
	Step  int          `json:"step"`
	Plan  []float64    `json:"plan,omitempty"`
	Watch RolloutWatch `json:"watch"`
	Cause RolloutCause `json:"cause"`
	// Override is true if a person put the candidate on or promoted it against a gate or a check; Reason says why.
	Override bool      `json:"override,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Actor    string    `json:"actor,omitempty"`
	Evidence *Evidence `json:"evidence,omitempty"`
}

// CheckState is the outcome of one check of a watch.
type CheckState string

const (
	CheckOK           CheckState = "ok"
	CheckBreached     CheckState = "breached"
	CheckInsufficient CheckState = "insufficient" // too few records to say; breaks nothing
)

// Evidence is what a watch saw when it decided.
type Evidence struct {
	// From and To bound the watched time. FleetSequence is the last message of FLEET that was counted.
	From          time.Time `json:"from"`
	To            time.Time `json:"to"`
	FleetSequence uint64    `json:"fleet_sequence"`
	// Requests and Errors are the watched version's over all instances.
	Requests  uint64          `json:"requests"`
	Errors    uint64          `json:"errors"`
	Instances []string        `json:"instances,omitempty"`
	Checks    []EvidenceCheck `json:"checks,omitempty"`
}

// EvidenceCheck is one compared value.
type EvidenceCheck struct {
	// Check is "error_ratio", "p95_ms", "score_psi" or "f1".
	Check string  `json:"check"`
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	// Against is the other version's value; absent where none is compared.
	Against *float64 `json:"against,omitempty"`
	// N is the number of requests or records behind Value, AgainstN behind Against.
	N        int        `json:"n"`
	AgainstN int        `json:"against_n,omitempty"`
	State    CheckState `json:"state"`
	Detail   string     `json:"detail,omitempty"`
	Bins     []BinShare `json:"bins,omitempty"`
}

// EventType implements [Payload].
func (*RolloutChanged) EventType() Type { return TypeRolloutChanged }

// Validate implements [Payload].
func (p *RolloutChanged) Validate() error {
	var c check
	c.version("revision", p.Revision, 1)
	switch p.State {
	case RolloutRunning, RolloutCompleted, RolloutRolledBack, RolloutAborted:
	default:
		c.that(false, "state %q is unknown", p.State)
	}
	c.version("version", p.Version, 1)
	c.version("production", p.Production, 0)
	c.that(p.PromotionSequence > 0, "promotion_sequence is required")
	c.share("share", p.Share)
	c.version("step", p.Step, 0)
	c.rolloutMode(p)
	c.plan(p.Plan)
	c.watch(&p.Watch)
	switch p.Cause {
	case RolloutByGate, RolloutManually, RolloutStep, RolloutBreach, RolloutSuperseded, RolloutPassed, RolloutLoadFailed:
	default:
		c.that(false, "cause %q is unknown", p.Cause)
	}
	c.that(!p.Override || p.Reason != "", "override needs a reason")
	c.evidence(p.Evidence)
	return c.err
}

// rolloutMode checks what depends on the mode: whom it stands beside, its bundle, its share.
func (c *check) rolloutMode(p *RolloutChanged) {
	switch p.Mode {
	case RolloutCanary:
		c.that(len(p.Plan) > 0, "plan is required in mode canary")
		c.that(p.State != RolloutRunning || p.Share > 0, "share must be over 0 while a canary runs")
	case RolloutShadow:
		c.that(len(p.Plan) == 0, "plan must be absent in mode shadow")
		c.that(p.Share == 0, "share must be 0 in mode shadow, is %v", p.Share)
	case RolloutDirect:
		c.that(p.State != RolloutRunning, "state must not be running in mode direct")
	default:
		c.that(false, "mode %q is unknown", p.Mode)
	}
	if p.Mode != RolloutDirect {
		c.version("production", p.Production, 1)
	}
	if p.State == RolloutRunning || p.Bundle != (Artifact{}) {
		c.artifact("bundle", p.Bundle)
	}
}

func (c *check) plan(shares []float64) {
	for i, s := range shares {
		c.share(fmt.Sprintf("plan[%d]", i), s)
		c.that(s > 0, "plan[%d] must be over 0", i)
		c.that(i == 0 || s > shares[i-1], "plan[%d] must be over plan[%d]", i, i-1)
	}
	if n := len(shares); n > 0 {
		c.that(shares[n-1] == 1, "plan[%d], the last one, must be 1, is %v", n-1, shares[n-1])
	}
}

func (c *check) watch(w *RolloutWatch) {
	c.version("watch.requests", w.Requests, 0)
	c.count("watch.duration_ms", w.DurationMS)
	c.share("watch.error_ratio", w.ErrorRatio)
	c.least("watch.p95_ratio", w.P95Ratio)
	c.least("watch.p95_floor_ms", w.P95FloorMS)
	c.least("watch.score_psi", w.ScorePSI)
	c.share("watch.f1_drop", w.F1Drop)
	c.version("watch.min_rows", w.MinRows, 0)
}

// least checks a finite number that is not negative.
func (c *check) least(field string, v float64) {
	c.finite(field, v)
	c.that(v >= 0, "%s must not be negative, is %v", field, v)
}

func (c *check) evidence(e *Evidence) {
	if e == nil {
		return
	}
	for i := range e.Checks {
		k, at := &e.Checks[i], fmt.Sprintf("evidence.checks[%d]", i)
		c.required(at+".check", k.Check)
		c.finite(at+".value", k.Value)
		c.finite(at+".limit", k.Limit)
		if k.Against != nil {
			c.finite(at+".against", *k.Against)
		}
		c.count(at+".n", int64(k.N))
		c.count(at+".against_n", int64(k.AgainstN))
		switch k.State {
		case CheckOK, CheckBreached, CheckInsufficient:
		default:
			c.that(false, "%s.state %q is unknown", at, k.State)
		}
	}
}
