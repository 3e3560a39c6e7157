package events

import (
	"encoding/json"
	"time"
)

// Stage is where a version stands.
type Stage string

const (
	StageNone       Stage = "None"       // registered, no verdict or rejected
	StageStaging    Stage = "Staging"    // passed the staging thresholds
	StageProduction Stage = "Production" // the last valid message on model.promoted
	StageArchived   Stage = "Archived"   // was Staging or Production and was replaced
)

// Artifact names one stored object of a run or version.
type Artifact struct {
	// Name is the file's name within the run, for instance "fitted_features.json" or "model/MLmodel"; it is unique there.
	Name string `json:"name"`
	// Digest is "sha256:" and 64 hexadecimal digits: the object's address in the artifact store.
	Digest string `json:"digest"`
	// SizeBytes is the object's length.
	SizeBytes int64 `json:"size_bytes"`
}

// Names of the artifacts that every run of this project's trainer has.
const (
	ArtifactBundle   = "bundle.tar"           // the whole servable model
	ArtifactHoldout  = "holdout.csv"          // raw records and labels that the gate scores
	ArtifactFeatures = "fitted_features.json" // fitted feature pipeline
	ArtifactModel    = "model.txt"            // trees, LightGBM text v4
	ArtifactBaseline = "baseline.json"        // drift references
	ArtifactGolden   = "golden.json"          // holdout rows with their expected scores
	ArtifactSpec     = "spec.yaml"            // the spec in force
)

// CauseKind says what made a run start.
type CauseKind string

const (
	CauseFirst     CauseKind = "first"     // the model has no Production
	CauseDrift     CauseKind = "drift"     // a drift.alert with action retrain
	CauseRequested CauseKind = "requested" // a person or program asked
	CauseSchedule  CauseKind = "schedule"  // a schedule's tick
)

// Cause is one reason of a run.
type Cause struct {
	Kind CauseKind `json:"kind"`
	// Sequence is the cause's own sequence in CAUSES; 0 for kind first.
	Sequence uint64 `json:"sequence,omitempty"`
	// EventID is the cause's ce-id, where it has one.
	EventID string `json:"event_id,omitempty"`
	// Detail says it in words, for instance "psi of MonthlyCharges 1.42 > 0.2".
	Detail string `json:"detail,omitempty"`
}

// RunStarted says that a trainer took all pending causes of a model. Published by the trainer as a compare-and-set on its subject.
// A run without a later run.completed or run.failed is open, and any trainer may finish it from what is recorded here.
type RunStarted struct {
	RunID string `json:"run_id"`
	// Causes are the reasons, oldest first, at least one.
	Causes []Cause `json:"causes"`
	// CausesThrough is the last CAUSES sequence that this run takes account of.
	CausesThrough uint64 `json:"causes_through"`
	// DataCutoff is the last TRAINING sequence whose examples the run uses.
	DataCutoff uint64 `json:"data_cutoff"`
	// DriftSince is the PREDICTIONS sequence of the evaluation behind the oldest drift cause; rows predicted after it are the new regime.
	// 0 in a run that has no drift cause.
	DriftSince uint64 `json:"drift_since,omitempty"`
	// DatasetFingerprint identifies the bytes of the spec's dataset when the run started.
	DatasetFingerprint string `json:"dataset_fingerprint"`
	SpecDigest         string `json:"spec_digest"`
	TargetStage        Stage  `json:"target_stage"`
}

// RunCompleted says that a run made a model. Published by the trainer, or by the registry for a run that an MLflow client logged.
type RunCompleted struct {
	RunID      string             `json:"run_id"`
	Experiment string             `json:"experiment"`
	Params     map[string]string  `json:"params,omitempty"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
	Artifacts  []Artifact         `json:"artifacts"`
	// DatasetFingerprint identifies the data trained on: the dataset's bytes and the examples up to the cut-off.
	DatasetFingerprint string    `json:"dataset_fingerprint"`
	SpecDigest         string    `json:"spec_digest,omitempty"`
	TargetStage        Stage     `json:"target_stage"`
	Causes             []Cause   `json:"causes"`
	StartedAt          time.Time `json:"started_at"`
	DurationMS         int64     `json:"duration_ms"`
	// Quarantined counts the dataset rows that were left out as faulty.
	Quarantined int64 `json:"quarantined_rows,omitempty"`
}

// RunFailed says that a run ended without a model. Production is untouched. Published by the trainer.
type RunFailed struct {
	RunID  string `json:"run_id"`
	Step   string `json:"step"`
	Reason string `json:"reason"`
	// Report is the data validation report where the step is validate.
	Report     json.RawMessage `json:"report,omitempty"`
	Causes     []Cause         `json:"causes"`
	StartedAt  time.Time       `json:"started_at"`
	DurationMS int64           `json:"duration_ms"`
	// DatasetFingerprint and SpecDigest let a trainer see that the same would fail again.
	DatasetFingerprint string `json:"dataset_fingerprint,omitempty"`
	SpecDigest         string `json:"spec_digest,omitempty"`
}

// ModelRegistered gives a run's model its version number. Published by the registry as a compare-and-set on its subject, which makes the
// numbers consecutive from 1.
type ModelRegistered struct {
	Version            int        `json:"version"`
	RunID              string     `json:"run_id"`
	Bundle             Artifact   `json:"bundle,omitzero"`
	Artifacts          []Artifact `json:"artifacts"`
	SpecDigest         string     `json:"spec_digest,omitempty"`
	DatasetFingerprint string     `json:"dataset_fingerprint,omitempty"`
	// TargetStage is empty for a version of a model without gates.
	TargetStage Stage `json:"target_stage,omitempty"`
	// Source is the URI that an MLflow client registered the version from, empty for a version of the trainer's. Artifacts are then the files
	// below it, named relative to it, and RunID, the run they came from, may be empty.
	Source string `json:"source,omitempty"`
	// Format is what Bundle was made from: "lightgbm" or "xgboost"; empty for the trainer's own.
	Format string `json:"format,omitempty"`
	// Unservable is why no instance can serve the version; empty if one can. Bundle is empty where it is set.
	Unservable  string `json:"unservable,omitempty"`
	RunLink     string `json:"run_link,omitempty"`
	ModelID     string `json:"model_id,omitempty"`
	GitCommit   string `json:"git_commit,omitempty"`
	Description string `json:"description,omitempty"`
	Tags        []Pair `json:"tags,omitempty"`
	Actor       string `json:"actor,omitempty"`
}

// Verdict is the outcome of a version's gates.
type Verdict string

const (
	VerdictRejected    Verdict = "rejected"     // failed a staging threshold, or unusable; stage None
	VerdictStaged      Verdict = "staged"       // passed staging; production was not asked for, or could not be judged
	VerdictNotPromoted Verdict = "not_promoted" // passed staging, is not better than Production; stays Staging
	VerdictPromotable  Verdict = "promotable"   // passed everything; a promotion follows unless it was overtaken
)

// RuleResult is one gate rule with the values it compared.
type RuleResult struct {
	// Rule is the rule in words, for instance "f1_churn >= 0.45" or "f1_churn > production".
	Rule   string `json:"rule"`
	Metric string `json:"metric"`
	// Value is the version's own, as the registry computed it; absent if it was missing or not finite.
	Value *float64 `json:"value,omitempty"`
	// Against is the threshold or Production's value; absent if there is none.
	Against *float64 `json:"against,omitempty"`
	Passed  bool     `json:"passed"`
}

// ModelGated is the one verdict of a version. Published by the registry as a compare-and-set on its subject.
type ModelGated struct {
	Version int     `json:"version"`
	RunID   string  `json:"run_id"`
	Verdict Verdict `json:"verdict"`
	// Reason is a fixed word such as "better", "first", "not_better", "below_threshold", "spec_differs", "no_comparable_holdout", "manual", "withdrawn", "unusable".
	Reason string       `json:"reason"`
	Detail string       `json:"detail,omitempty"`
	Rules  []RuleResult `json:"rules"`
	// Champion is the Production version compared with, 0 for none.
	Champion int `json:"champion"`
	// PromotionSequence is the last sequence of model.promoted that the verdict was judged against; 0 if there was no promotion yet.
	PromotionSequence uint64 `json:"promotion_sequence"`
	// HoldoutRows is the number of rows both were scored on.
	HoldoutRows int `json:"holdout_rows"`
	// Metrics and ChampionMetrics are the registry's own figures on the run's holdout.
	Metrics         map[string]float64 `json:"metrics,omitempty"`
	ChampionMetrics map[string]float64 `json:"champion_metrics,omitempty"`
}

// PromotionCause says why a version became Production.
type PromotionCause string

const (
	PromotedByGate     PromotionCause = "gate"
	PromotedManually   PromotionCause = "manual"
	PromotedByRollback PromotionCause = "rollback"
	PromotionWithdrawn PromotionCause = "withdrawn" // version 0: no Production
	PromotionRepair    PromotionCause = "repair"    // restates Production after junk on the subject
)

// ModelPromoted states the Production version of a model: the last valid message on its subject is the truth. Published by the registry,
// as a compare-and-set on the subject's last sequence; read by inference, drift, trainer and anyone downstream.
type ModelPromoted struct {
	// Version is 0 if the model was withdrawn.
	Version         int      `json:"version"`
	RunID           string   `json:"run_id,omitempty"`
	Bundle          Artifact `json:"bundle,omitzero"`
	PreviousVersion int      `json:"previous_version"`
	// PreviousSequence is the sequence on the subject that this promotion expected, 0 for the first.
	PreviousSequence uint64         `json:"previous_sequence"`
	Cause            PromotionCause `json:"cause"`
	// Refuted is true in a rollback because the previous version could not be loaded or broke its watch; no gate promotes its digest again.
	Refuted bool   `json:"refuted,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Actor   string `json:"actor,omitempty"`
	// Unservable is why no instance can serve the version; empty if one can. Instances leave such a promotion alone and say so.
	Unservable string `json:"unservable,omitempty"`
	// Ungated is true for a model without gates, which follows MLflow's rules: the replaced version leaves Production only if ArchiveExisting is set,
	// and then every other version in Production is archived by this one message. A model with gates always archives the one it replaces.
	Ungated         bool `json:"ungated,omitempty"`
	ArchiveExisting bool `json:"archive_existing,omitempty"`
	// Demoted is the version that a person takes out of Production by this message, 0 for none, and DemotedTo the stage it gets, which is not Production.
	Demoted   int   `json:"demoted,omitempty"`
	DemotedTo Stage `json:"demoted_to,omitempty"`
	// Override is true if a person promoted against a gate; Reason says why.
	Override bool `json:"override,omitempty"`
	// Evidence is what the watch saw that led to a rollback.
	Evidence *Evidence `json:"evidence,omitempty"`
	// Rollout is the revision of the rollout that completes with this promotion, 0 for none.
	Rollout int `json:"rollout,omitempty"`
}

// Change is the kind of a ModelChanged.
type Change string

const (
	ChangeArchive     Change = "archive"
	ChangeDelete      Change = "delete"
	ChangeAlias       Change = "alias"
	ChangeTag         Change = "tag"
	ChangeDescription Change = "description"
	ChangeCreate      Change = "create" // of a model without versions, so Version is 0; Value is its description
	ChangeRename      Change = "rename" // of a model; Value is its new name, the subject stays
	ChangeStage       Change = "stage"  // of a version of a model without gates, save to and from Production; Value is the stage
	ChangeGates       Change = "gates"  // of a model; Value is the gates as a JSON object, or Remove takes them away
)

// ModelChanged records a change of a version, or of the whole model if Version is 0, that is no promotion. Published by the registry.
type ModelChanged struct {
	Change  Change `json:"change"`
	Version int    `json:"version"`
	// Key is the alias or tag name; empty for the others.
	Key string `json:"key,omitempty"`
	// Value is the tag's value or the description, or what the kind of change says; an alias or tag with Remove set is taken away.
	Value  string `json:"value,omitempty"`
	Remove bool   `json:"remove,omitempty"`
	// ArchiveExisting archives, with a change of stage, every other version in that stage.
	ArchiveExisting bool `json:"archive_existing,omitempty"`
	// Tags are a created model's.
	Tags   []Pair `json:"tags,omitempty"`
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
}
