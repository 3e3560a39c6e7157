package registry

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/events"
)

// Change is one fact about a model or its versions, as it stands in the stream.
type Change struct {
	Sequence uint64      `json:"sequence"`
	At       time.Time   `json:"at"`
	Event    events.Type `json:"event"`
	// Version is 0 for a fact about the model.
	Version int `json:"version,omitempty"`
	// Actor is who did it, as far as it was said.
	Actor string `json:"actor,omitempty"`
	// Summary says it in words.
	Summary  string `json:"summary"`
	Reason   string `json:"reason,omitempty"`
	Override bool   `json:"override,omitempty"`
}

// Audit returns every fact about a model, newest first: registrations, verdicts, rollouts, promotions and changes, those that took no effect left out.
func (c *Catalog) Audit(key string) []Change {
	m := c.models[key]
	if m == nil {
		return nil
	}
	out := slices.Clone(m.audit)
	slices.Reverse(out)
	return out
}

// History returns who was in Production when: the promotions that changed it, newest first. Repairs, which only restate, are left out.
func (c *Catalog) History(key string) []Promotion {
	return slices.DeleteFunc(c.Promotions(key), func(p Promotion) bool { return p.Restates })
}

// ProductionAt returns the version that was Production at a time by the stream's clock, and false if there was none: of several in a model
// without gates the one promoted last. What it says of the version is what is known now.
func (c *Catalog) ProductionAt(key string, at time.Time) (Version, bool) {
	for _, p := range c.History(key) {
		if !p.At.After(at) {
			return c.Version(key, p.Version)
		}
	}
	return Version{}, false
}

// note keeps a fact for the audit.
func (m *modelFold) note(r Record) {
	ch := Change{Sequence: r.Sequence, At: r.Time}
	switch p := r.Event.Payload.(type) {
	case *events.ModelRegistered:
		ch.Version, ch.Actor = p.Version, cmp.Or(p.Actor, DefaultActor)
		ch.Summary = fmt.Sprintf("registered version %d from run %s", p.Version, p.RunID)
		if p.Source != "" {
			ch.Summary = fmt.Sprintf("registered version %d from %s", p.Version, p.Source)
		}
	case *events.ModelGated:
		ch.Version, ch.Reason, ch.Actor = p.Version, p.Detail, DefaultActor
		ch.Summary = fmt.Sprintf("judged version %d: %s, %s", p.Version, p.Verdict, p.Reason)
	case *events.ModelPromoted:
		ch.Version, ch.Actor, ch.Reason, ch.Override = p.Version, p.Actor, p.Reason, p.Override
		ch.Summary = promotionWords(p)
	case *events.ModelChanged:
		ch.Version, ch.Actor, ch.Reason = p.Version, p.Actor, p.Reason
		ch.Summary = changeWords(p)
	case *events.RolloutChanged:
		ch.Version, ch.Actor, ch.Reason, ch.Override = p.Version, p.Actor, p.Reason, p.Override
		ch.Summary = RolloutWords(p)
	default:
		return
	}
	ch.Event = r.Event.Payload.EventType()
	m.audit = append(m.audit, ch)
}

func promotionWords(p *events.ModelPromoted) string {
	var b strings.Builder
	switch {
	case p.Cause == events.PromotionRepair:
		fmt.Fprintf(&b, "restated version %d as Production", p.Version)
	case p.Demoted > 0:
		fmt.Fprintf(&b, "moved version %d from Production to %s", p.Demoted, p.DemotedTo)
	case p.Version == 0:
		fmt.Fprintf(&b, "withdrew version %d", p.PreviousVersion)
	case p.Cause == events.PromotedByRollback:
		fmt.Fprintf(&b, "rolled back from version %d to version %d", p.PreviousVersion, p.Version)
	default:
		fmt.Fprintf(&b, "promoted version %d to Production (%s)", p.Version, p.Cause)
	}
	if p.Override {
		b.WriteString(", against a gate")
	}
	if p.ArchiveExisting && p.Cause != events.PromotedByRollback {
		b.WriteString(", archiving the others")
	}
	return b.String()
}

// RolloutWords says a change of a rollout in words, without who and why.
func RolloutWords(p *events.RolloutChanged) string {
	what := fmt.Sprintf("the %s of version %d", p.Mode, p.Version)
	if p.Mode == events.RolloutDirect {
		what = fmt.Sprintf("the watch of version %d in Production", p.Version)
	}
	switch {
	case p.State == events.RolloutRunning && p.Mode == events.RolloutShadow:
		return fmt.Sprintf("began %s beside version %d", what, p.Production)
	case p.State == events.RolloutRunning && p.Step == 0:
		return fmt.Sprintf("began %s: it answers %s beside version %d", what, percent(p.Share), p.Production)
	case p.State == events.RolloutRunning:
		return fmt.Sprintf("went on with %s: it answers %s", what, percent(p.Share))
	case p.State == events.RolloutCompleted:
		return "completed " + what
	case p.State == events.RolloutRolledBack:
		return fmt.Sprintf("ended %s: %s", what, p.Cause)
	}
	return fmt.Sprintf("stopped %s: %s", what, p.Cause)
}

// percent shows a share.
func percent(share float64) string { return number(math.Round(share*1e6)/1e4) + " %" }

func changeWords(p *events.ModelChanged) string {
	what := "the model"
	if p.Version > 0 {
		what = fmt.Sprintf("version %d", p.Version)
	}
	verb := map[bool]string{false: "set", true: "removed"}[p.Remove]
	switch p.Change {
	case events.ChangeCreate:
		return "created the model"
	case events.ChangeRename:
		return fmt.Sprintf("renamed the model to %q", p.Value)
	case events.ChangeDelete:
		if p.Remove {
			return "restored " + what
		}
		return "deleted " + what
	case events.ChangeArchive:
		if p.Remove {
			return "took " + what + " out of the archive"
		}
		return "archived " + what
	case events.ChangeStage:
		return fmt.Sprintf("moved %s to %s", what, p.Value)
	case events.ChangeAlias:
		return fmt.Sprintf("%s alias %s of %s", verb, p.Key, what)
	case events.ChangeTag:
		if p.Remove {
			return fmt.Sprintf("removed tag %q of %s", p.Key, what)
		}
		return fmt.Sprintf("set tag %q of %s to %q", p.Key, what, p.Value)
	case events.ChangeGates:
		return verb + " the gates"
	case events.ChangeDescription:
		return "described " + what
	}
	return string(p.Change)
}
