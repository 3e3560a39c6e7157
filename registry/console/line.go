package console

import (
	"cmp"
	"fmt"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
)

// lineOf puts a message into words, and reports false for one that says nothing to a reader.
func lineOf(m bus.Message) (line, bool) {
	l := line{ID: fmt.Sprintf("e-%s-%d", m.Stream, m.Sequence), At: m.Time}
	if m.Err != nil {
		l.Type, l.Words, l.Class = "unreadable", fmt.Sprintf("%s holds a message that is no event: %s", m.Subject, m.Err), "bad"
		return l, true
	}
	l.Type, l.Model, l.Href, l.Of = kindOf(m.Event), m.Event.Model, modelPath(m.Event.Model), m.Event.Model
	switch p := m.Event.Payload.(type) {
	case *events.RunStarted:
		l.Words, l.Class = "run started"+because(p.Causes), ""
		l.run(p.RunID)
	case *events.RunCompleted:
		l.Words = "run completed" + because(p.Causes)
		l.run(p.RunID)
	case *events.RunFailed:
		l.Words, l.Class = fmt.Sprintf("run failed in step %s: %s", p.Step, p.Reason), "bad"
		l.run(p.RunID)
	case *events.ModelRegistered:
		l.Words = fmt.Sprintf("version %d registered%s", p.Version, after(": nothing can serve it, ", p.Unservable))
		l.version(p.Version)
	case *events.ModelGated:
		l.Words = fmt.Sprintf("version %d is %s: %s%s", p.Version, p.Verdict, p.Reason, after(", ", p.Detail))
		l.Class = map[events.Verdict]string{events.VerdictPromotable: "good", events.VerdictRejected: "bad"}[p.Verdict]
		l.version(p.Version)
	case *events.ModelPromoted:
		l.promoted(p)
	case *events.RolloutChanged:
		l.Words = registry.RolloutWords(p) + after(" by ", p.Actor) + after(": ", p.Reason)
		l.Class = map[events.RolloutState]string{events.RolloutCompleted: "good", events.RolloutRolledBack: "bad", events.RolloutAborted: "warn"}[p.State]
		l.version(p.Version)
	case *events.ModelChanged:
		l.changed(p)
	default:
		return l.loop(m.Event.Payload)
	}
	return l, true
}

// loop puts what the other services say into words.
func (l line) loop(payload events.Payload) (line, bool) {
	switch p := payload.(type) {
	case *events.ModelLoaded:
		l.Words, l.Class = fmt.Sprintf("%s serves version %d", p.Instance, p.Version), "good"
		if p.Rollout > 0 {
			l.Words = fmt.Sprintf("%s has loaded version %d for revision %d of its rollout", p.Instance, p.Version, p.Rollout)
		}
		l.version(p.Version)
	case *events.ModelLoadFailed:
		l.Words = fmt.Sprintf("%s can't load version %d (%s): %s; it still serves version %d", p.Instance, p.Version, p.Class, p.Reason, p.StillServing)
		l.Class = "bad"
		l.version(p.Version)
	case *events.DriftAlert:
		l.Words = fmt.Sprintf("%s of %s is %s, above %s: %s", p.Statistic, p.Column, number(p.Value), number(p.Threshold), p.Action)
		l.Class, l.Href = "warn", driftPath(l.Model)
	case *events.DriftCleared:
		l.Words = fmt.Sprintf("%s of %s is quiet again at %s", p.Statistic, p.Column, number(p.Value))
		l.Class, l.Href = "good", driftPath(l.Model)
	case *events.RetrainRequested:
		l.Words = fmt.Sprintf("retraining for %s asked by %s%s", cmp.Or(p.TargetStage, events.StageProduction), cmp.Or(p.Actor, "a program"), after(": ", p.Reason))
	case *events.RetrainSkipped:
		l.Words = fmt.Sprintf("%s starts no run: %s%s", p.Kind, p.Reason, after(", ", p.Detail))
	case *events.DriftEvaluated:
		firing := 0
		for _, c := range p.Columns {
			if c.State == events.StateFiring {
				firing++
			}
		}
		l.Words = fmt.Sprintf("evaluation %d of %s: %d %s, %d firing", p.Evaluation, p.Kind, p.Rows, plural(p.Rows, "row", "rows"), firing)
		l.Href = driftPath(l.Model)
		if firing > 0 {
			l.Class = "warn"
		}
	case *events.ShadowEvaluated:
		l.Words = fmt.Sprintf("shadow of version %d: %d %s of version %d scored, %d with another label, PSI %s", p.Version, p.Rows, plural(int(p.Rows), "answer", "answers"),
			p.Production, p.Flips, number(p.PSI))
		l.version(p.Version)
	default:
		return l, false
	}
	return l, true
}

func kindOf(e events.Event) string {
	k, ok := events.KindOf(e.Payload.EventType())
	if !ok {
		return string(e.Payload.EventType())
	}
	return k.Prefix()
}

func (l *line) run(id string) { l.Href, l.Of = runPath(id), "run "+cut(id, 10) }

func (l *line) version(n int) {
	if n > 0 {
		l.Href, l.Of = versionPath(l.Model, n), fmt.Sprintf("%s %d", l.Model, n)
	}
}

func (l *line) promoted(p *events.ModelPromoted) {
	l.Class = "good"
	by := after(" by ", p.Actor) + after(": ", p.Reason)
	switch {
	case p.Version == 0:
		l.Words, l.Class = "no version is Production any more ("+string(p.Cause)+")"+by, "warn"
	case p.Demoted > 0:
		l.Words, l.Class = fmt.Sprintf("version %d went from Production to %s; version %d is still Production%s", p.Demoted, p.DemotedTo, p.Version, by), "warn"
	case p.Cause == events.PromotionRepair:
		l.Words = fmt.Sprintf("version %d is Production, stated again%s", p.Version, by)
	case beside(p):
		l.Words = fmt.Sprintf("version %d is Production too, beside %d (%s)%s", p.Version, p.PreviousVersion, p.Cause, by)
	case p.Cause == events.PromotedByRollback:
		l.Words, l.Class = fmt.Sprintf("rolled back from version %d to %d%s", p.PreviousVersion, p.Version, by), "warn"
	case p.PreviousVersion > 0:
		l.Words = fmt.Sprintf("version %d is Production in place of %d (%s)%s", p.Version, p.PreviousVersion, p.Cause, by)
	default:
		l.Words = fmt.Sprintf("version %d is Production (%s)%s", p.Version, p.Cause, by)
	}
	if p.Override {
		l.Words += ", against a gate"
	}
	l.version(p.Version)
}

// beside is true of a promotion that leaves the one before it in Production, as a model without gates may have several there.
func beside(p *events.ModelPromoted) bool {
	return p.Ungated && !p.ArchiveExisting && p.Demoted == 0 && p.Version > 0 && p.PreviousVersion > 0 && p.PreviousVersion != p.Version
}

func (l *line) changed(p *events.ModelChanged) {
	of := "the model"
	if p.Version > 0 {
		of = fmt.Sprintf("version %d", p.Version)
	}
	switch {
	case p.Change == events.ChangeAlias && p.Remove:
		l.Words = fmt.Sprintf("alias %s taken away", p.Key)
	case p.Change == events.ChangeAlias:
		l.Words = fmt.Sprintf("alias %s points at version %d", p.Key, p.Version)
	case p.Change == events.ChangeTag && p.Remove:
		l.Words = fmt.Sprintf("tag %s of %s taken away", p.Key, of)
	case p.Change == events.ChangeTag:
		l.Words = fmt.Sprintf("tag %s of %s set to %q", p.Key, of, cut(p.Value, 60))
	case p.Change == events.ChangeStage:
		l.Words = fmt.Sprintf("%s is %s", of, p.Value)
	case p.Change == events.ChangeRename:
		l.Words = fmt.Sprintf("renamed to %q", cut(p.Value, 60))
	case p.Change == events.ChangeCreate:
		l.Words = "model made"
	default:
		l.Words = fmt.Sprintf("%s of %s changed", p.Change, of)
	}
	l.Words += after(" by ", p.Actor) + after(": ", p.Reason)
	l.version(p.Version)
}

// after returns text with words before it, and nothing for none.
func after(words, text string) string {
	if text == "" {
		return ""
	}
	return words + text
}

func because(causes []events.Cause) string {
	if len(causes) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s%s)", causes[0].Kind, after(": ", causes[0].Detail))
}
