package events_test

import (
	"math"
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
		rollout   = *events.RolloutChanged
		measured  = *events.ServingMeasured
		shadowed  = *events.ShadowEvaluated
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
		{events.TypeExampleJoined, of(func(p *events.ExampleJoined) { p.Arm = events.ArmProduction }), `arm "production" is unknown`},
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
		{events.TypeRolloutChanged, of(func(p rollout) { p.Revision = 0 }), "revision must be at least 1, is 0"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.State = "paused" }), `state "paused" is unknown`},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Mode = "blue" }), `mode "blue" is unknown`},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Mode = events.RolloutShadow }), "plan must be absent in mode shadow"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Mode, p.Plan = events.RolloutShadow, nil }), "share must be 0 in mode shadow, is 0.25"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Mode = events.RolloutDirect }), "state must not be running in mode direct"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Version = 0 }), "version must be at least 1, is 0"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Production = 0 }), "production must be at least 1, is 0"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.PromotionSequence = 0 }), "promotion_sequence is required"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Share = 1.5 }), "share must be in [0, 1], is 1.5"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Share = 0 }), "share must be over 0 while a canary runs"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Step = -1 }), "step must be at least 0, is -1"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Plan = nil }), "plan is required in mode canary"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Plan[0] = 0 }), "plan[0] must be over 0"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Plan[2] = 2 }), "plan[2] must be in [0, 1], is 2"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Bundle.Digest = "x" }), "bundle.digest must be sha256:"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Watch.Requests = -1 }), "watch.requests must be at least 0"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Watch.DurationMS = -1 }), "watch.duration_ms must not be negative"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Watch.ErrorRatio = 2 }), "watch.error_ratio must be in [0, 1]"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Watch.P95Ratio = math.Inf(1) }), "watch.p95_ratio must be finite"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Watch.P95FloorMS = -1 }), "watch.p95_floor_ms must not be negative"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Watch.ScorePSI = -1 }), "watch.score_psi must not be negative"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Watch.F1Drop = -1 }), "watch.f1_drop must be in [0, 1]"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Watch.MinRows = -1 }), "watch.min_rows must be at least 0"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Cause = "whim" }), `cause "whim" is unknown`},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Reason = "" }), "override needs a reason"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Evidence.Checks[0].Check = "" }), "evidence.checks[0].check is required"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Evidence.Checks[0].State = "bad" }), `evidence.checks[0].state "bad" is unknown`},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Evidence.Checks[0].Value = math.NaN() }), "evidence.checks[0].value must be finite"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Evidence.Checks[0].Limit = math.NaN() }), "evidence.checks[0].limit must be finite"},
		{events.TypeRolloutChanged, of(func(p rollout) { *p.Evidence.Checks[0].Against = math.NaN() }), "evidence.checks[0].against must be finite"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Evidence.Checks[0].N = -1 }), "evidence.checks[0].n must not be negative"},
		{events.TypeRolloutChanged, of(func(p rollout) { p.Evidence.Checks[0].AgainstN = -1 }), "evidence.checks[0].against_n must not be negative"},
		{events.TypeModelPromoted, of(func(p promoted) { p.Rollout = -1 }), "rollout must be at least 0"},
		{events.TypeModelPromoted, of(func(p promoted) { p.Evidence.Checks[0].N = -1 }), "evidence.checks[0].n must not be negative"},
		{events.TypeModelLoaded, of(func(p *events.ModelLoaded) { p.Rollout = -1 }), "rollout must be at least 0"},
		{events.TypeModelLoadFailed, of(func(p *events.ModelLoadFailed) { p.Rollout = -1 }), "rollout must be at least 0"},
		{events.TypeInstanceAlive, of(func(p *events.InstanceAlive) { p.RolloutRevision = -1 }), "rollout_revision must be at least 0"},
		{events.TypeInstanceAlive, of(func(p *events.InstanceAlive) { p.Candidate = -1 }), "candidate must be at least 0"},
		{events.TypePredictionMade, of(func(p *events.PredictionMade) { p.Arm = "left" }), `arm "left" is unknown`},
		{events.TypePredictionMade, of(func(p *events.PredictionMade) { p.RolloutRevision = -1 }), "rollout_revision must be at least 0"},
		{events.TypeServingMeasured, of(func(p measured) { p.Boot = "" }), "boot is required"},
		{events.TypeServingMeasured, of(func(p measured) { p.Versions[0].Version = 0 }), "versions[0].version must be at least 1"},
		{events.TypeServingMeasured, of(func(p measured) { p.Versions[0].Digest = "" }), "versions[0].digest must be sha256:"},
		{events.TypeServingMeasured, of(func(p measured) { p.Versions[0].Revision = -1 }), "versions[0].revision must be at least 0"},
		{events.TypeServingMeasured, of(func(p measured) { p.Versions[0].Arm = "" }), `versions[0].arm "" is unknown`},
		{events.TypeServingMeasured, of(func(p measured) { p.Versions[0].Scores = make([]uint64, 10) }), "versions[0].scores must have 20 counts, has 10"},
		{events.TypeServingMeasured, of(func(p measured) { p.Versions[0].Entities = make([]uint64, 31) }), "versions[0].entities must have 32 counts, has 31"},
		{events.TypeServingMeasured, of(func(p measured) { p.Versions[0].LatencyBuckets = make([]uint64, 46) }), "versions[0].latency_buckets must have 47 counts, has 46"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.Revision = 0 }), "revision must be at least 1"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.Version = 0 }), "version must be at least 1"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.Production = 0 }), "production must be at least 1"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.MeanAbsDiff = 2 }), "mean_abs_diff must be in [0, 1]"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.SumAbsDiff = -1 }), "sum_abs_diff must not be negative"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.MaxAbsDiff = 2 }), "max_abs_diff must be in [0, 1]"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.PSI = math.Inf(1) }), "psi must be finite"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.Scores = p.Scores[1:] }), "scores must have 20 counts, has 19"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { p.ProductionScores = p.ProductionScores[1:] }), "production_scores must have 20 counts, has 19"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { *p.F1 = 2 }), "f1 must be in [0, 1]"},
		{events.TypeShadowEvaluated, of(func(p shadowed) { *p.F1Production = 2 }), "f1_production must be in [0, 1]"},
		{events.TypeScoreRequested, of(func(p *events.ScoreRequested) { p.JobID = "" }), "job_id is required"},
		{events.TypeScoreRequested, of(func(p *events.ScoreRequested) { p.Input = "" }), "input is required"},
		{events.TypeScoreRequested, of(func(p *events.ScoreRequested) { p.Output = "" }), "output is required"},
		{events.TypeScoreRequested, of(func(p *events.ScoreRequested) { p.Format = "xlsx" }), `format "xlsx" is unknown`},
		{events.TypeScoreRequested, of(func(p *events.ScoreRequested) { p.Version = -1 }), "version must be at least 0"},
		{events.TypeScoreCompleted, of(func(p *events.ScoreCompleted) { p.JobID = "" }), "job_id is required"},
		{events.TypeScoreCompleted, of(func(p *events.ScoreCompleted) { p.Version = 0 }), "version must be at least 1"},
		{events.TypeScoreCompleted, of(func(p *events.ScoreCompleted) { p.Digest = "" }), "digest must be sha256:"},
		{events.TypeScoreCompleted, of(func(p *events.ScoreCompleted) { p.Output = "" }), "output is required"},
		{events.TypeScoreCompleted, of(func(p *events.ScoreCompleted) { p.OutputDigest = "" }), "output_digest must be sha256:"},
		{events.TypeScoreCompleted, of(func(p *events.ScoreCompleted) { p.DurationMS = -1 }), "duration_ms must not be negative"},
		{events.TypeScoreCompleted, of(func(p *events.ScoreCompleted) { p.Worker = "" }), "worker is required"},
		{events.TypeScoreFailed, of(func(p *events.ScoreFailed) { p.JobID = "" }), "job_id is required"},
		{events.TypeScoreFailed, of(func(p *events.ScoreFailed) { p.Reason = "" }), "reason is required"},
		{events.TypeScoreFailed, of(func(p *events.ScoreFailed) { p.Worker = "" }), "worker is required"},
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
