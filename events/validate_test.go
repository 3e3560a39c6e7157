package events_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// broken is a sample after one change, and what its error says: the field by its JSON name, and the rule.
type broken struct {
	typ    events.Type
	change func(p events.Payload)
	says   string
}

// of makes the change of one payload type fit the table.
func of[P events.Payload](change func(P)) func(events.Payload) {
	return func(p events.Payload) { change(p.(P)) }
}

func TestValidateNamesFieldAndRule(t *testing.T) {
	type (
		started   = *events.RunStarted
		completed = *events.RunCompleted
		promoted  = *events.ModelPromoted
		evaluated = *events.DriftEvaluated
		tracked   = *events.RunTracked
		stored    = *events.ArtifactStored
		logged    = *events.ModelLogged
	)
	for _, tt := range []broken{
		{events.TypeRunStarted, of(func(p started) { p.RunID = "" }), "run_id is required"},
		{events.TypeRunStarted, of(func(p started) { p.Causes = nil }), "causes must not be empty"},
		{events.TypeRunStarted, of(func(p started) { p.Causes[0].Kind = "whim" }), `causes[0].kind "whim" is unknown`},
		{events.TypeRunStarted, of(func(p started) { p.TargetStage = events.StageNone }), `target_stage must be Staging or Production, is "None"`},
		{events.TypeRunCompleted, of(func(p completed) { p.Experiment = "" }), "experiment is required"},
		{events.TypeRunCompleted, of(func(p completed) { p.Artifacts[1].Digest = "sha256:00" }), "artifacts[1].digest must be sha256:"},
		{events.TypeRunCompleted, of(func(p completed) { p.Artifacts[0].Digest = "sha1:" + digest[7:] }), "artifacts[0].digest must be sha256:"},
		{events.TypeRunCompleted, of(func(p completed) { p.Artifacts[0].Name = "../x" }), "artifacts[0].name"},
		{events.TypeRunCompleted, of(func(p completed) { p.Artifacts[0].Name = "/x" }), "must be a path that stays inside"},
		{events.TypeRunCompleted, of(func(p completed) { p.Artifacts[0].SizeBytes = -1 }), "artifacts[0].size_bytes must not be negative"},
		{events.TypeRunCompleted, of(func(p completed) { p.Artifacts[1].Name = p.Artifacts[0].Name }), "stands twice"},
		{events.TypeRunCompleted, of(func(p completed) { p.DurationMS = -1 }), "duration_ms must not be negative"},
		{events.TypeRunCompleted, of(func(p completed) { p.Quarantined = -1 }), "quarantined_rows must not be negative"},
		{events.TypeRunFailed, of(func(p *events.RunFailed) { p.Step = "" }), "step is required"},
		{events.TypeRunFailed, of(func(p *events.RunFailed) { p.Reason = "" }), "reason is required"},
		{events.TypeModelRegistered, of(func(p *events.ModelRegistered) { p.Version = 0 }), "version must be at least 1, is 0"},
		{events.TypeModelRegistered, of(func(p *events.ModelRegistered) { p.Bundle.Digest = "" }), "bundle.digest must be"},
		{events.TypeModelGated, of(func(p *events.ModelGated) { p.Verdict = "maybe" }), `verdict "maybe" is unknown`},
		{events.TypeModelGated, of(func(p *events.ModelGated) { p.Rules[0].Rule = "" }), "rules[0].rule is required"},
		{events.TypeModelGated, of(func(p *events.ModelGated) { p.Champion = -1 }), "champion must be at least 0, is -1"},
		{events.TypeModelGated, of(func(p *events.ModelGated) { p.HoldoutRows = -1 }), "holdout_rows must not be negative"},
		{events.TypeModelPromoted, of(func(p promoted) { p.Cause = "luck" }), `cause "luck" is unknown`},
		{events.TypeModelPromoted, of(func(p promoted) { p.Cause = events.PromotedByGate }), "refuted needs the cause rollback"},
		{events.TypeModelPromoted, of(func(p promoted) { p.Version, p.Refuted, p.Cause = 0, false, events.PromotedByGate }), "version 0 needs the cause withdrawn"},
		{events.TypeModelPromoted, of(func(p promoted) { p.Refuted, p.Cause = false, events.PromotionWithdrawn }), "a withdrawal's version must be 0, is 1"},
		{events.TypeModelPromoted, of(func(p promoted) { p.Unservable = "a pickle" }), "bundle must be absent where unservable is set"},
		{events.TypeModelPromoted, of(func(p promoted) { p.Reason = "" }), "override needs a reason"},
		{events.TypeModelPromoted, of(func(p promoted) { p.Demoted = -1 }), "demoted must be at least 0, is -1"},
		{events.TypeModelPromoted, of(func(p promoted) { p.DemotedTo = "" }), `demoted_to must be None, Staging or Archived, is ""`},
		{events.TypeModelPromoted, of(func(p promoted) { p.Version = 1 << 53 }), "version must be at least 0"},
		{events.TypeModelRegistered, of(func(p *events.ModelRegistered) { p.Source, p.RunID = "", "" }), "run_id is required"},
		{events.TypeModelRegistered, of(func(p *events.ModelRegistered) { p.TargetStage = events.StageArchived }), "target_stage must be"},
		{events.TypeModelRegistered, of(func(p *events.ModelRegistered) { p.Tags[0].Key = "" }), "tags[0].key is required"},
		{events.TypeModelChanged, of(func(p *events.ModelChanged) { p.Change = events.ChangeCreate }), "version must be 0 in a change of kind create, is 2"},
		{events.TypeModelChanged, of(func(p *events.ModelChanged) { p.Change, p.Value = events.ChangeStage, "Production" }), "value must be None, Staging or Archived"},
		{events.TypeModelChanged, of(func(p *events.ModelChanged) { p.Change = "move" }), `change "move" is unknown`},
		{events.TypeModelChanged, of(func(p *events.ModelChanged) { p.Change, p.Key = events.ChangeTag, "" }), "key is required"},
		{events.TypeDriftAlert, of(func(p *events.DriftAlert) { p.Column = "" }), "column is required"},
		{events.TypeDriftAlert, of(func(p *events.DriftAlert) { p.N = -1 }), "n must not be negative"},
		{events.TypeDriftAlert, of(func(p *events.DriftAlert) { p.Action = "shout" }), `action "shout" is unknown`},
		{events.TypeDriftCleared, of(func(p *events.DriftCleared) { p.Kind = "mood" }), `kind "mood" is unknown`},
		{events.TypeRetrainRequested, of(func(p *events.RetrainRequested) { p.TargetStage = "Prod" }), "target_stage must be"},
		{events.TypeRetrainSkipped, of(func(p *events.RetrainSkipped) { p.Sequence = 0 }), "sequence is required"},
		{events.TypeRetrainSkipped, of(func(p *events.RetrainSkipped) { p.Kind = "" }), `kind "" is unknown`},
		{events.TypeRetrainSkipped, of(func(p *events.RetrainSkipped) { p.Reason = "bored" }), `reason "bored" is unknown`},
		{events.TypeScheduleRetrain, of(func(p *events.ScheduleRetrain) { p.Cron = "0 2 * * 1" }), "cron must have six fields"},
		{events.TypeScheduleRetrain, of(func(p *events.ScheduleRetrain) { p.TargetStage = events.StageArchived }), "target_stage must be"},
		{events.TypeModelLoaded, of(func(p *events.ModelLoaded) { p.Instance = "" }), "instance is required"},
		{events.TypeModelLoaded, of(func(p *events.ModelLoaded) { p.Digest = "" }), "digest must be sha256:"},
		{events.TypeModelLoadFailed, of(func(p *events.ModelLoadFailed) { p.Class = "odd" }), `class "odd" is unknown`},
		{events.TypeModelLoadFailed, of(func(p *events.ModelLoadFailed) { p.StillServing = -1 }), "still_serving must be at least 0"},
		{events.TypeInstanceAlive, of(func(p *events.InstanceAlive) { p.Boot = "" }), "boot is required"},
		{events.TypeInstanceAlive, of(func(p *events.InstanceAlive) { p.Version = -1 }), "version must be at least 0"},
		{events.TypePredictionMade, of(func(p *events.PredictionMade) { p.Record = nil }), "record must be a JSON object"},
		{events.TypePredictionMade, of(func(p *events.PredictionMade) { p.Record = []byte("[1]") }), "record must be a JSON object"},
		{events.TypePredictionMade, of(func(p *events.PredictionMade) { p.Score = 1.01 }), "score must be in [0, 1], is 1.01"},
		{events.TypePredictionMade, of(func(p *events.PredictionMade) { p.Threshold = -0.01 }), "threshold must be in [0, 1]"},
		{events.TypeLabelObserved, of(func(p *events.LabelObserved) { p.PredictionID, p.EntityID = "", "" }), "prediction_id or entity_id is required"},
		{events.TypeLabelObserved, of(func(p *events.LabelObserved) { p.Outcome = "" }), "outcome is required"},
		{events.TypeExampleJoined, of(func(p *events.ExampleJoined) { p.PredictionsSequence = 0 }), "predictions_sequence is required"},
		{events.TypeDriftEvaluated, of(func(p evaluated) { p.Kind = events.DriftPrediction }), `kind "prediction" is unknown`},
		{events.TypeDriftEvaluated, of(func(p evaluated) { p.Evaluation = 0 }), "evaluation is required"},
		{events.TypeDriftEvaluated, of(func(p evaluated) { p.Rows = -1 }), "rows must not be negative"},
		{events.TypeDriftEvaluated, of(func(p evaluated) { p.Columns[0].State = "shaky" }), `columns[0].state "shaky" is unknown`},
		{events.TypeDriftEvaluated, of(func(p evaluated) { p.Columns[0].Action = "" }), `columns[0].action "" is unknown`},
		{events.TypeExperimentChanged, of(func(p *events.ExperimentChanged) { p.Name = "" }), "name is required"},
		{events.TypeExperimentChanged, of(func(p *events.ExperimentChanged) { p.Lifecycle = "" }), `lifecycle_stage must be active or deleted, is ""`},
		{events.TypeExperimentChanged, of(func(p *events.ExperimentChanged) { p.RemovedTags[0] = "" }), "removed_tags[0] must not be empty"},
		{events.TypeRunTracked, of(func(p tracked) { p.RunID = "" }), "run_id is required"},
		{events.TypeRunTracked, of(func(p tracked) { p.Created.ExperimentID = "" }), "created.experiment_id is required"},
		{events.TypeRunTracked, of(func(p tracked) { p.Created.ArtifactURI = "" }), "created.artifact_uri is required"},
		{events.TypeRunTracked, of(func(p tracked) { p.Status = "DONE" }), `status "DONE" is unknown`},
		{events.TypeRunTracked, of(func(p tracked) { p.Lifecycle = "gone" }), `lifecycle_stage must be active or deleted, is "gone"`},
		{events.TypeRunTracked, of(func(p tracked) { p.Metrics[0].Key = "" }), "metrics[0].key is required"},
		{events.TypeRunTracked, of(func(p tracked) { p.Params[1].Key = "" }), "params[1].key is required"},
		{events.TypeRunTracked, of(func(p tracked) { p.Tags[1].Key = "" }), "tags[1].key is required"},
		{events.TypeRunTracked, of(func(p tracked) { p.Inputs[0].Digest = "" }), "inputs[0]: name and digest are required"},
		{events.TypeRunTracked, of(func(p tracked) { p.Inputs[0].Tags[0].Key = "" }), "inputs[0].tags[0].key is required"},
		{events.TypeRunTracked, of(func(p tracked) { p.Outputs[0].ModelID = "" }), "outputs[0].model_id is required"},
		{events.TypeArtifactStored, of(func(p stored) { p.Path = "" }), "path is required"},
		{events.TypeArtifactStored, of(func(p stored) { p.Path = "1/../2" }), `path "1/../2" must be a path that stays inside`},
		{events.TypeArtifactStored, of(func(p stored) { p.Path = "1/\xff" }), "path is not UTF-8"},
		{events.TypeArtifactStored, of(func(p stored) { p.Digest = "" }), "digest must be sha256:"},
		{events.TypeArtifactStored, of(func(p stored) { p.SizeBytes = -1 }), "size_bytes must not be negative"},
		{events.TypeModelLogged, of(func(p logged) { p.ModelID = "" }), "model_id is required"},
		{events.TypeModelLogged, of(func(p logged) { p.Created.ExperimentID = "" }), "created.experiment_id is required"},
		{events.TypeModelLogged, of(func(p logged) { p.Created.ArtifactURI = "" }), "created.artifact_uri is required"},
		{events.TypeModelLogged, of(func(p logged) { p.Status = "READY" }), `status "READY" is unknown`},
		{events.TypeModelLogged, of(func(p logged) { p.Params[0].Key = "" }), "params[0].key is required"},
		{events.TypeDriftEvaluated, of(func(p evaluated) { p.Columns[0].Streak = -1 }), "columns[0].streak must not be negative"},
	} {
		t.Run(string(tt.typ)+" "+tt.says, func(t *testing.T) {
			p := sample(t, tt.typ)
			require.NoError(t, p.Validate())
			tt.change(p)
			err := p.Validate()
			require.ErrorIs(t, err, events.ErrInvalid)
			require.ErrorContains(t, err, tt.says)
		})
	}
}

// At the bounds themselves a value is valid.
func TestValidateAtTheBounds(t *testing.T) {
	p := sample(t, events.TypePredictionMade).(*events.PredictionMade)
	for _, v := range []float64{0, 1} {
		p.Score, p.Threshold = v, v
		require.NoError(t, p.Validate())
	}
	p.Version = 1<<53 - 1
	require.NoError(t, p.Validate())
	s := sample(t, events.TypeScheduleRetrain).(*events.ScheduleRetrain)
	for _, cron := range []string{"@daily", "@every 1h", "0 0 2 * * 1", "  0\t0 2 * * 1 "} {
		s.Cron = cron
		require.NoError(t, s.Validate(), cron)
	}
}
