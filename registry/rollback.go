package registry

import (
	"fmt"
	"time"

	"telco-churn-mlops/events"
)

// RollbackAction is what a failed load leads to.
type RollbackAction string

const (
	RollbackNone  RollbackAction = "none"  // nothing failed that is still Production
	RollbackAlarm RollbackAction = "alarm" // a person should look; Production stays
	RollbackGo    RollbackAction = "rollback"
)

// OwnCheck is what the registry found when it loaded the bundle itself.
type OwnCheck string

const (
	CheckNotDone OwnCheck = ""     // not looked yet
	CheckSound   OwnCheck = "ok"   // fetched, decoded, golden rows agree
	CheckBroken  OwnCheck = "fail" // missing, damaged, or the golden rows differ
)

// RollbackDecision says what to do about the failed loads of a model's Production.
type RollbackDecision struct {
	Action RollbackAction
	// Failed is the promotion that failed, Expected the sequence that the rollback's compare-and-set expects.
	Failed   Promotion
	Expected uint64
	// Target is where to go back to.
	Target Version
	// Reason says it in words, and Evidence, where it goes back, with figures.
	Reason   string
	Evidence *events.Evidence
}

// DecideRollback looks at the permanent load failures that instances report for what is Production now. With none, or with a model that
// is withdrawn, there is nothing to do; transient failures are the instances' own affair. Otherwise it goes back if the registry's own check
// found the bundle broken or more than half of the live instances report it, to the newest earlier Production that some instance has loaded
// and no rollback refuted. It only alarms if neither holds, if there is no such target, in a model without gates, which people move alone, or if
// what failed is itself a rollback: a rollback is never rolled back by itself. Failures of instances that are gone count for nothing once the check was sound.
func DecideRollback(c *Catalog, f *Fleet, name string, check OwnCheck, now time.Time) RollbackDecision {
	failed, ok := c.Settled(name)
	if !ok || failed.Version == 0 {
		return RollbackDecision{Action: RollbackNone}
	}
	reporters, reporting := f.Failures(name, failed.Version, failed.Bundle.Digest), 0
	for _, i := range reporters {
		if i.Live(now) {
			reporting++
		}
	}
	if len(reporters) == 0 || reporting == 0 && check == CheckSound {
		return RollbackDecision{Action: RollbackNone}
	}
	live := f.LiveCount(name, now)
	d := RollbackDecision{Action: RollbackAlarm, Failed: failed, Expected: c.Expected(events.TypeModelPromoted, name)}
	d.Reason = fmt.Sprintf("%d of %d live instances can't load version %d (%s)", reporting, live, failed.Version, reporters[0].Failure.Reason)
	switch {
	case !c.Gated(name):
		d.Reason += "; a model without gates is not rolled back by itself"
		return d
	case failed.Cause == events.PromotedByRollback:
		d.Reason += "; a rollback is not rolled back"
		return d
	case check == CheckBroken:
		d.Reason += "; nor can the registry"
	case 2*reporting > live:
	default:
		d.Reason += "; the registry and the others can"
		return d
	}
	v, ok := rollbackTarget(c, f, name)
	if !ok {
		d.Reason += "; no earlier Production was ever loaded"
		return d
	}
	var names []string
	for _, i := range reporters {
		if i.Live(now) {
			names = append(names, i.Serving.Instance)
		}
	}
	d.Action, d.Target = RollbackGo, v
	d.Evidence = loadEvidence(f, name, failed.At, now, reporting, live, names, d.Reason)
	return d
}
