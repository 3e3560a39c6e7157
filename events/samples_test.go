package events_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

var (
	digest = "sha256:" + strings.Repeat("0a", 32)
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
)

func ptr[T any](v T) *T { return &v }

func bundle() events.Artifact {
	return events.Artifact{Name: events.ArtifactBundle, Digest: digest, SizeBytes: 4096}
}

func artifacts() []events.Artifact {
	return []events.Artifact{bundle(), {Name: events.ArtifactHoldout, Digest: digest, SizeBytes: 99}}
}

func causes() []events.Cause {
	return []events.Cause{{Kind: events.CauseDrift, Sequence: 7, EventID: "drift.alert.v1/telco-churn/x", Detail: "psi of MonthlyCharges 1.42 > 0.2"}}
}

func bins() []events.BinShare {
	return []events.BinShare{{Bin: "(10,20]", Reference: 0.1, Current: 0.3, PSI: 0.22}}
}

func measurement() events.Measurement {
	return events.Measurement{Kind: events.DriftData, Column: "MonthlyCharges", Statistic: "psi", Value: 1.42, Threshold: 0.2, Bound: 0.05, N: 1000,
		WindowFrom: noon, WindowTo: noon.Add(time.Hour), Bins: bins(), Version: 1, PromotionSequence: 5, Evaluation: 4, PredictionsSequence: 1000,
		Action: events.ActionRetrain}
}

func serving() events.Serving {
	return events.Serving{Instance: "a", Boot: "b1", Version: 2, Digest: digest, PromotionSequence: 9, RolloutRevision: 4, Candidate: 3}
}

// sample returns a new valid payload of a type, with every field set: see TestSamplesAreFull.
func sample(t testing.TB, typ events.Type) events.Payload {
	t.Helper()
	switch typ {
	case events.TypeRunStarted:
		return &events.RunStarted{RunID: "r1", Causes: causes(), CausesThrough: 8, DataCutoff: 500, DriftSince: 1000, DatasetFingerprint: "xx:1",
			SpecDigest: digest, TargetStage: events.StageProduction}
	case events.TypeRunCompleted:
		return &events.RunCompleted{RunID: "r1", Experiment: "telco-churn-training", Params: map[string]string{"trees": "100"},
			Metrics: map[string]float64{"f1_churn": 0.6}, Artifacts: artifacts(), DatasetFingerprint: "xx:1", SpecDigest: digest,
			TargetStage: events.StageStaging, Causes: causes(), StartedAt: noon, DurationMS: 1200, Quarantined: 3}
	case events.TypeRunFailed:
		return &events.RunFailed{RunID: "r1", Step: "validate", Reason: "no rows", Report: json.RawMessage(`{"rows":0}`), Causes: causes(),
			StartedAt: noon, DurationMS: 3, DatasetFingerprint: "xx:1", SpecDigest: digest}
	case events.TypeModelRegistered:
		return &events.ModelRegistered{Version: 2, RunID: "r1", Bundle: bundle(), Artifacts: artifacts(), SpecDigest: digest,
			DatasetFingerprint: "xx:1", TargetStage: events.StageProduction, Source: "mlflow-artifacts:/1/r1/artifacts/model", Format: "lightgbm",
			RunLink: "https://git.example/run", ModelID: "m-1", GitCommit: "0a0a", Description: "the first", Tags: pairs(), Actor: "ann"}
	case events.TypeModelGated:
		return &events.ModelGated{Version: 2, RunID: "r1", Verdict: events.VerdictPromotable, Reason: "better", Detail: "f1 0.62 > 0.6",
			Rules:    []events.RuleResult{{Rule: "f1_churn > production", Metric: "f1_churn", Value: ptr(0.62), Against: ptr(0.6), Passed: true}},
			Champion: 1, PromotionSequence: 5, HoldoutRows: 1400, Metrics: map[string]float64{"f1_churn": 0.62},
			ChampionMetrics: map[string]float64{"f1_churn": 0.6}}
	case events.TypeModelPromoted:
		return &events.ModelPromoted{Version: 1, RunID: "r1", Bundle: bundle(), PreviousVersion: 2, PreviousSequence: 9,
			Cause: events.PromotedByRollback, Refuted: true, Reason: "golden rows differ", Actor: "registry",
			Ungated: true, ArchiveExisting: true, Demoted: 2, DemotedTo: events.StageArchived, Override: true,
			Evidence: evidence(), Rollout: 4}
	case events.TypeModelChanged:
		return &events.ModelChanged{Change: events.ChangeAlias, Version: 2, Key: "champion", Value: "v", Remove: true,
			ArchiveExisting: true, Tags: pairs(), Actor: "ann", Reason: "tidy"}
	case events.TypeDriftAlert:
		return &events.DriftAlert{Measurement: measurement(), Repeat: true}
	case events.TypeDriftCleared:
		return &events.DriftCleared{Measurement: measurement()}
	case events.TypeRetrainRequested:
		return &events.RetrainRequested{Actor: "ann", Reason: "new prices", TargetStage: events.StageStaging}
	case events.TypeRetrainSkipped:
		return &events.RetrainSkipped{Sequence: 7, Kind: events.CauseDrift, Reason: events.SkipSuperseded, Detail: "version 1 was replaced"}
	case events.TypeScheduleRetrain:
		return &events.ScheduleRetrain{Cron: "0 0 2 * * 1", TimeZone: "Europe/Berlin", TargetStage: events.StageProduction, Actor: "spec", Reason: "weekly"}
	case events.TypeModelLoaded:
		return &events.ModelLoaded{Serving: serving(), DurationMS: 4.5, FromDisk: true, Rollout: 4}
	case events.TypeModelLoadFailed:
		return &events.ModelLoadFailed{Serving: serving(), Class: events.LoadPermanent, Reason: "digest differs", StillServing: 1, Rollout: 4}
	case events.TypeInstanceAlive:
		return &events.InstanceAlive{Serving: serving(), StartedAt: noon, Predictions: 10, Dropped: 1, Address: "127.0.0.1:8080"}
	}
	return sampleOfData(t, typ)
}

func pairs() []events.Pair {
	return []events.Pair{{Key: "team", Value: "retention"}, {Key: "note", Value: ""}}
}

// sampleOfTracking is sample for what MLflow clients log.
func sampleOfTracking(t testing.TB, typ events.Type) events.Payload {
	t.Helper()
	switch typ {
	case events.TypeExperimentChanged:
		return &events.ExperimentChanged{ExperimentID: "1", Created: true, Name: "churn", ArtifactLocation: "mlflow-artifacts:/1",
			Lifecycle: events.StageActive, Tags: pairs(), RemovedTags: []string{"old"}, Actor: "ann"}
	case events.TypeRunTracked:
		return &events.RunTracked{RunID: "r1", Created: &events.RunCreation{ExperimentID: "1", UserID: "ann", StartTime: noon.UnixMilli(), ArtifactURI: "mlflow-artifacts:/1/r1/artifacts"},
			Status: events.StatusFinished, EndTime: ptr(noon.UnixMilli() + 1), Name: ptr("tidy-owl-7"), Lifecycle: events.StageDeleted,
			Metrics: []events.MetricPoint{{Key: "val/auc", Value: 0.84, Timestamp: noon.UnixMilli(), Step: 3, ModelID: "m-1", DatasetName: "d", DatasetDigest: "9f"}},
			Params:  pairs(), Tags: pairs(), RemovedTags: []string{"old"},
			Inputs:  []events.DatasetInput{{Name: "d", Digest: "9f", SourceType: "local", Source: "{}", Schema: "{}", Profile: "{}", Tags: pairs()}},
			Outputs: []events.ModelOutput{{ModelID: "m-1", Step: 3}}, Actor: "ann"}
	case events.TypeModelLogged:
		return &events.ModelLogged{ModelID: "m-1", Created: &events.LoggedModelCreation{ExperimentID: "1", Name: "model", ModelType: "agent", SourceRunID: "r1",
			ArtifactURI: "mlflow-artifacts:/1/models/m-1/artifacts"}, Status: events.LoggedModelReady, Params: pairs(), Tags: pairs(),
			RemovedTags: []string{"old"}, Deleted: true, Actor: "ann"}
	case events.TypeArtifactStored:
		return &events.ArtifactStored{Path: "1/r1/artifacts/model/MLmodel", Digest: digest, SizeBytes: 12, Actor: "ann"}
	}
	require.FailNow(t, "no sample", "%s", typ)
	return nil
}

// sampleOfData is sample for what customers and drift are about.
func sampleOfData(t testing.TB, typ events.Type) events.Payload {
	t.Helper()
	record := json.RawMessage(`{"tenure":1,"gender":"Female"}`)
	switch typ {
	case events.TypePredictionMade:
		return &events.PredictionMade{PredictionID: "p1", EntityID: "7590-VHVEG", Version: 1, PromotionSequence: 5, Record: record, Score: 0.7,
			Threshold: 0.4, Positive: true, Label: "Yes", LatencyUS: 80, Instance: "a", Boot: "b1", Ordinal: 1,
			RequestID: "q1", Arm: events.ArmCanary, RolloutRevision: 4}
	case events.TypeLabelObserved:
		return &events.LabelObserved{PredictionID: "p1", EntityID: "7590-VHVEG", Outcome: "Yes", ObservedAt: noon}
	case events.TypeExampleJoined:
		return &events.ExampleJoined{PredictionID: "p1", EntityID: "7590-VHVEG", Version: 1, PromotionSequence: 5, PredictionsSequence: 17,
			Record: record, Score: 0.7, Threshold: 0.4, Predicted: true, Observed: true, PredictedAt: noon, ObservedAt: noon.Add(time.Second),
			LabelsSequence: 12, Arm: events.ArmCanary}
	case events.TypeDriftEvaluated:
		return &events.DriftEvaluated{Kind: events.DriftData, Evaluation: 4, Version: 1, PromotionSequence: 5, Ordinal: 1000, PredictionsSequence: 1000,
			TrainingSequence: 3, WindowFirst: 1, Rows: 1000, WindowFrom: noon, WindowTo: noon.Add(time.Hour),
			Columns: []events.ColumnEvaluation{{Column: "MonthlyCharges", Statistic: "psi", Value: 1.42, Threshold: 0.2, Bound: 0.05, N: 1000,
				State: events.StateFiring, Streak: 3, StreakSequence: 900, Action: events.ActionRetrain, AlertedAt: noon, AlertedVersion: 1, Bins: bins()}}}
	}
	return sampleOfServing(t, typ)
}

func evidence() *events.Evidence {
	return &events.Evidence{From: noon, To: noon.Add(time.Minute), FleetSequence: 77, Requests: 500, Errors: 9, Instances: []string{"a"},
		Checks: []events.EvidenceCheck{{Check: "score_psi", Value: 1.9, Limit: 0.25, Against: ptr(2.1), N: 500, AgainstN: 9500, State: events.CheckBreached,
			Detail: "against both", Bins: bins()}}}
}

func confusion() *events.Confusion {
	return &events.Confusion{TruePositive: 20, FalsePositive: 9, TrueNegative: 60, FalseNegative: 11}
}

// sampleOfServing is sample for what is tried on customers, and for files that are scored.
func sampleOfServing(t testing.TB, typ events.Type) events.Payload {
	t.Helper()
	scores, latencies := make([]uint64, events.ScoreBins), make([]uint64, events.LatencyBuckets)
	switch typ {
	case events.TypeRolloutChanged:
		return &events.RolloutChanged{Revision: 4, State: events.RolloutRunning, Mode: events.RolloutCanary, Version: 3, RunID: "r1", Bundle: bundle(),
			Production: 2, PromotionSequence: 9, Share: 0.25, Step: 1, Plan: []float64{0.05, 0.25, 1},
			Watch: events.RolloutWatch{Requests: 500, DurationMS: 600_000, ErrorRatio: 0.01, P95Ratio: 3, P95FloorMS: 5, ScorePSI: 0.25, F1Drop: 0.1, MinRows: 300},
			Cause: events.RolloutStep, Override: true, Reason: "asked", Actor: "ann", Evidence: evidence()}
	case events.TypeServingMeasured:
		return &events.ServingMeasured{Serving: serving(), Versions: []events.VersionMeasurement{{Version: 3, Digest: digest, PromotionSequence: 9, Revision: 4,
			Arm: events.ArmCanary, Requests: 10, Records: 12, Errors: 1, Fallbacks: 1, LatencyBuckets: latencies, Scores: scores, ReferenceBins: []uint64{6, 6},
			Entities: make([]uint64, events.EntityWords), From: noon, To: noon.Add(time.Second)}}}
	case events.TypeShadowEvaluated:
		return &events.ShadowEvaluated{Revision: 4, Version: 3, Production: 2, PredictionsFrom: 7, PredictionsSequence: 1000, TrainingSequence: 50, Rows: 900,
			Skipped: map[string]uint64{"record": 1}, Flips: 30, MeanAbsDiff: 0.02, SumAbsDiff: 18, MaxAbsDiff: 0.4, PSI: 0.01, Scores: scores,
			ProductionScores: scores, Labelled: 100, F1: ptr(0.6), F1Production: ptr(0.59), Confusion: confusion(), ProductionConfusion: confusion(),
			Final: true, Reason: "superseded"}
	case events.TypeScoreRequested:
		return &events.ScoreRequested{JobID: "j1", Input: "s3://b/in.csv", Output: "s3://b/out.csv", Format: events.ScoreCSV, Version: 3,
			OutputFormat: events.ScoreParquet, Columns: []string{"region"}, RowID: true, Explain: true, MaxFaults: ptr(int64(5)), RequestedBy: "ann"}
	case events.TypeScoreCompleted:
		return &events.ScoreCompleted{JobID: "j1", Version: 3, Digest: digest, Rows: 1000, Faulty: 2, Output: "s3://b/out.csv", OutputDigest: digest,
			Faults: "s3://b/out.csv.faults.csv", DurationMS: 12, Worker: "a"}
	case events.TypeScoreFailed:
		return &events.ScoreFailed{JobID: "j1", Reason: "no such file", Rows: 3, Worker: "a"}
	}
	return sampleOfTracking(t, typ)
}

func deadLetter() *events.DeadLetter {
	return &events.DeadLetter{Stream: "LABELS", Sequence: 3, Subject: "label.observed.telco-churn", Consumer: "drift", Reason: "invalid event",
		Deliveries: 1, Header: map[string][]string{"ce-id": {"x"}}, Data: []byte("junk"), Truncated: true, At: noon}
}

// excluded names the fields that another field of the same sample rules out. [TestSchemasAgreeOnCombinations] has them.
var excluded = []string{"model.registered.v1.Unservable", "model.promoted.v1.Unservable", "artifact.stored.v1.Removed", "artifact.stored.v1.Through"}

// A field that is zero in its sample would escape the round trip and the schema's tests.
func TestSamplesAreFull(t *testing.T) {
	var check func(path string, v reflect.Value)
	check = func(path string, v reflect.Value) {
		require.Equal(t, slices.Contains(excluded, path), v.IsZero(), "%s in its sample", path)
		switch {
		case v.Kind() == reflect.Pointer:
			check(path, v.Elem())
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
			check(path+"[0]", v.Index(0))
		case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
			for i := range v.NumField() {
				check(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
	for _, k := range events.Kinds() {
		check(string(k.Type), reflect.ValueOf(sample(t, k.Type)))
	}
	check("deadletter", reflect.ValueOf(deadLetter()))
}
