package events

import (
	"encoding/json"
	"fmt"
	"strings"
)

// EventType implements [Payload].
func (*RunStarted) EventType() Type { return TypeRunStarted }

// EventType implements [Payload].
func (*RunCompleted) EventType() Type { return TypeRunCompleted }

// EventType implements [Payload].
func (*RunFailed) EventType() Type { return TypeRunFailed }

// EventType implements [Payload].
func (*ModelRegistered) EventType() Type { return TypeModelRegistered }

// EventType implements [Payload].
func (*ModelGated) EventType() Type { return TypeModelGated }

// EventType implements [Payload].
func (*ModelPromoted) EventType() Type { return TypeModelPromoted }

// EventType implements [Payload].
func (*ModelChanged) EventType() Type { return TypeModelChanged }

// EventType implements [Payload].
func (*DriftAlert) EventType() Type { return TypeDriftAlert }

// EventType implements [Payload].
func (*DriftCleared) EventType() Type { return TypeDriftCleared }

// EventType implements [Payload].
func (*RetrainRequested) EventType() Type { return TypeRetrainRequested }

// EventType implements [Payload].
func (*RetrainSkipped) EventType() Type { return TypeRetrainSkipped }

// EventType implements [Payload].
func (*ScheduleRetrain) EventType() Type { return TypeScheduleRetrain }

// EventType implements [Payload].
func (*ModelLoaded) EventType() Type { return TypeModelLoaded }

// EventType implements [Payload].
func (*ModelLoadFailed) EventType() Type { return TypeModelLoadFailed }

// EventType implements [Payload].
func (*InstanceAlive) EventType() Type { return TypeInstanceAlive }

// EventType implements [Payload].
func (*PredictionMade) EventType() Type { return TypePredictionMade }

// EventType implements [Payload].
func (*LabelObserved) EventType() Type { return TypeLabelObserved }

// EventType implements [Payload].
func (*ExampleJoined) EventType() Type { return TypeExampleJoined }

// EventType implements [Payload].
func (*DriftEvaluated) EventType() Type { return TypeDriftEvaluated }

// Validate implements [Payload].
func (p *RunStarted) Validate() error {
	var c check
	c.required("run_id", p.RunID)
	c.that(len(p.Causes) > 0, "causes must not be empty")
	c.causes(p.Causes)
	c.target("target_stage", p.TargetStage)
	return c.err
}

// Validate implements [Payload].
func (p *RunCompleted) Validate() error {
	var c check
	c.required("run_id", p.RunID)
	c.required("experiment", p.Experiment)
	c.artifacts("artifacts", p.Artifacts)
	c.target("target_stage", p.TargetStage)
	c.causes(p.Causes)
	for name, v := range p.Metrics {
		c.finite("metrics."+name, v)
	}
	c.count("duration_ms", p.DurationMS)
	c.count("quarantined_rows", p.Quarantined)
	return c.err
}

// Validate implements [Payload].
func (p *RunFailed) Validate() error {
	var c check
	c.required("run_id", p.RunID)
	c.required("step", p.Step)
	c.required("reason", p.Reason)
	c.causes(p.Causes)
	return c.err
}

// Validate implements [Payload].
func (p *ModelRegistered) Validate() error {
	var c check
	c.version("version", p.Version, 1)
	if p.Source == "" {
		c.required("run_id", p.RunID)
		c.target("target_stage", p.TargetStage)
	} else if p.TargetStage != "" {
		c.target("target_stage", p.TargetStage)
	}
	c.bundle(p.Bundle, p.Unservable)
	c.artifacts("artifacts", p.Artifacts)
	c.pairs("tags", p.Tags)
	return c.err
}

// Validate implements [Payload].
func (p *ModelGated) Validate() error {
	var c check
	c.version("version", p.Version, 1)
	c.required("reason", p.Reason)
	c.version("champion", p.Champion, 0)
	c.count("holdout_rows", int64(p.HoldoutRows))
	switch p.Verdict {
	case VerdictRejected, VerdictStaged, VerdictNotPromoted, VerdictPromotable:
	default:
		c.that(false, "verdict %q is unknown", p.Verdict)
	}
	for i, r := range p.Rules {
		c.required(fmt.Sprintf("rules[%d].rule", i), r.Rule)
	}
	return c.err
}

// Validate implements [Payload].
func (p *ModelPromoted) Validate() error {
	var c check
	c.version("version", p.Version, 0)
	c.version("previous_version", p.PreviousVersion, 0)
	switch p.Cause {
	case PromotedByGate, PromotedManually, PromotedByRollback, PromotionRepair:
	case PromotionWithdrawn:
		c.that(p.Version == 0, "a withdrawal's version must be 0, is %d", p.Version)
	default:
		c.that(false, "cause %q is unknown", p.Cause)
	}
	c.that(!p.Refuted || p.Cause == PromotedByRollback, "refuted needs the cause rollback")
	c.that(!p.Override || p.Reason != "", "override needs a reason")
	c.version("demoted", p.Demoted, 0)
	c.version("rollout", p.Rollout, 0)
	c.evidence(p.Evidence)
	if p.Demoted > 0 || p.DemotedTo != "" {
		c.rest("demoted_to", p.DemotedTo)
	}
	if p.Version == 0 {
		c.that(p.Cause == PromotionWithdrawn || p.Cause == PromotionRepair, "version 0 needs the cause withdrawn or repair")
		if p.Bundle != (Artifact{}) {
			c.artifact("bundle", p.Bundle)
		}
		return c.err
	}
	c.bundle(p.Bundle, p.Unservable)
	return c.err
}

// Validate implements [Payload].
func (p *ModelChanged) Validate() error {
	var c check
	c.version("version", p.Version, 0)
	switch p.Change {
	case ChangeArchive, ChangeDelete, ChangeDescription:
	case ChangeAlias, ChangeTag:
		c.required("key", p.Key)
	case ChangeStage:
		c.version("version", p.Version, 1)
		c.rest("value", Stage(p.Value)) // to Production leads a promotion alone
	case ChangeCreate:
		c.wholeModel(p)
	case ChangeRename:
		c.wholeModel(p)
		c.required("value", p.Value)
	case ChangeGates:
		c.wholeModel(p)
		c.that(p.Remove || p.Value != "" && p.Value[0] == '{' && json.Valid([]byte(p.Value)), "value must be a JSON object")
	default:
		c.that(false, "change %q is unknown", p.Change)
	}
	c.pairs("tags", p.Tags)
	return c.err
}

func (m *Measurement) validate() error {
	var c check
	c.required("column", m.Column)
	c.required("statistic", m.Statistic)
	c.finite("value", m.Value)
	c.finite("threshold", m.Threshold)
	c.version("version", m.Version, 1)
	c.count("n", int64(m.N))
	switch m.Kind {
	case DriftData, DriftPrediction, DriftPerformance:
	default:
		c.that(false, "kind %q is unknown", m.Kind)
	}
	c.action("action", m.Action)
	return c.err
}

// Validate implements [Payload].
func (p *DriftAlert) Validate() error { return p.validate() }

// Validate implements [Payload].
func (p *DriftCleared) Validate() error { return p.validate() }

// Validate implements [Payload].
func (p *RetrainRequested) Validate() error {
	var c check
	if p.TargetStage != "" {
		c.target("target_stage", p.TargetStage)
	}
	return c.err
}

// Validate implements [Payload].
func (p *RetrainSkipped) Validate() error {
	var c check
	c.that(p.Sequence > 0, "sequence is required")
	c.cause("kind", p.Kind)
	switch p.Reason {
	case SkipSuperseded, SkipReportOnly, SkipDuplicate:
	default:
		c.that(false, "reason %q is unknown", p.Reason)
	}
	return c.err
}

// Validate implements [Payload].
func (p *ScheduleRetrain) Validate() error {
	var c check
	n := len(strings.Fields(p.Cron))
	c.that(n == 6 || strings.HasPrefix(p.Cron, "@"), "cron must have six fields, seconds first, or be an @-form; %q has %d", p.Cron, n)
	if p.TargetStage != "" {
		c.target("target_stage", p.TargetStage)
	}
	return c.err
}

func (s *Serving) check(least int) check {
	var c check
	c.required("instance", s.Instance)
	c.required("boot", s.Boot)
	c.version("version", s.Version, least)
	c.version("rollout_revision", s.RolloutRevision, 0)
	c.version("candidate", s.Candidate, 0)
	return c
}

// Validate implements [Payload].
func (p *ModelLoaded) Validate() error {
	c := p.check(1)
	c.digest("digest", p.Digest)
	c.version("rollout", p.Rollout, 0)
	return c.err
}

// Validate implements [Payload].
func (p *ModelLoadFailed) Validate() error {
	c := p.check(1)
	c.that(p.Class == LoadTransient || p.Class == LoadPermanent, "class %q is unknown", p.Class)
	c.required("reason", p.Reason)
	c.version("still_serving", p.StillServing, 0)
	c.version("rollout", p.Rollout, 0)
	return c.err
}

// Validate implements [Payload].
func (p *InstanceAlive) Validate() error { return p.check(0).err }

// Validate implements [Payload].
func (p *PredictionMade) Validate() error {
	var c check
	c.required("prediction_id", p.PredictionID)
	c.version("version", p.Version, 1)
	c.record("record", p.Record)
	c.share("score", p.Score)
	c.share("threshold", p.Threshold)
	c.otherArm(p.Arm)
	c.version("rollout_revision", p.RolloutRevision, 0)
	return c.err
}

// Validate implements [Payload].
func (p *LabelObserved) Validate() error {
	var c check
	c.that(p.PredictionID != "" || p.EntityID != "", "prediction_id or entity_id is required")
	c.required("outcome", string(p.Outcome))
	return c.err
}

// Validate implements [Payload].
func (p *ExampleJoined) Validate() error {
	var c check
	c.required("prediction_id", p.PredictionID)
	c.version("version", p.Version, 1)
	c.that(p.PredictionsSequence > 0, "predictions_sequence is required")
	c.record("record", p.Record)
	c.share("score", p.Score)
	c.otherArm(p.Arm)
	return c.err
}

// Validate implements [Payload].
func (p *DriftEvaluated) Validate() error {
	var c check
	c.that(p.Kind == DriftData || p.Kind == DriftPerformance, "kind %q is unknown", p.Kind)
	c.that(p.Evaluation > 0, "evaluation is required")
	c.version("version", p.Version, 1)
	c.count("rows", int64(p.Rows))
	for i, col := range p.Columns {
		c.required(fmt.Sprintf("columns[%d].column", i), col.Column)
		c.count(fmt.Sprintf("columns[%d].n", i), int64(col.N))
		c.count(fmt.Sprintf("columns[%d].streak", i), int64(col.Streak))
		c.version(fmt.Sprintf("columns[%d].alerted_version", i), col.AlertedVersion, 0)
		switch col.State {
		case StateOK, StatePending, StateFiring, StateInsufficient:
		default:
			c.that(false, "columns[%d].state %q is unknown", i, col.State)
		}
		c.action(fmt.Sprintf("columns[%d].action", i), col.Action)
	}
	return c.err
}
