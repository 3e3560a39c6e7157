package events

import (
	"fmt"
	"strings"
)

// Type is an event's type with its version: the subject's tokens before the model, a dot, and "v" with a number.
type Type string

// Stream is the name of a JetStream stream.
type Stream string

// The streams. internal/bus states their limits.
const (
	Lifecycle   Stream = "LIFECYCLE"   // the registry's truth: runs, versions, verdicts, promotions; kept for ever
	Causes      Stream = "CAUSES"      // why a model should be trained again
	Fleet       Stream = "FLEET"       // what each inference instance serves
	Predictions Stream = "PREDICTIONS" // every answer given
	Labels      Stream = "LABELS"      // outcomes as the systems of record report them
	Training    Stream = "TRAINING"    // predictions joined with their outcomes
	Drift       Stream = "DRIFT"       // every evaluation of drift
	Scoring     Stream = "SCORING"     // files of records to score, and what became of them
	Tracking    Stream = "TRACKING"    // experiments, runs, metrics, files and models that MLflow clients log
	Dead        Stream = "DEADLETTER"  // what could not be handled, with the reason
)

// Streams returns all streams in the order they are provisioned.
func Streams() []Stream {
	return []Stream{Lifecycle, Causes, Fleet, Predictions, Labels, Training, Drift, Scoring, Tracking, Dead}
}

// The event types. The struct of the same name is the payload; its comment says who publishes it and who reads it.
const (
	TypeRunStarted   Type = "run.started.v1"
	TypeRunCompleted Type = "run.completed.v1"
	TypeRunFailed    Type = "run.failed.v1"

	TypeModelRegistered Type = "model.registered.v1"
	TypeModelGated      Type = "model.gated.v1"
	TypeModelPromoted   Type = "model.promoted.v1"
	TypeModelChanged    Type = "model.changed.v1"
	TypeRolloutChanged  Type = "rollout.changed.v1"

	TypeDriftAlert       Type = "drift.alert.v1"
	TypeDriftCleared     Type = "drift.cleared.v1"
	TypeRetrainRequested Type = "retrain.requested.v1"
	TypeRetrainSkipped   Type = "retrain.skipped.v1"
	TypeScheduleRetrain  Type = "schedule.retrain.v1"

	TypeModelLoaded     Type = "model.loaded.v1"
	TypeModelLoadFailed Type = "model.load_failed.v1"
	TypeInstanceAlive   Type = "instance.alive.v1"
	TypeServingMeasured Type = "serving.measured.v1"

	TypePredictionMade  Type = "prediction.made.v1"
	TypeLabelObserved   Type = "label.observed.v1"
	TypeExampleJoined   Type = "example.joined.v1"
	TypeDriftEvaluated  Type = "drift.evaluated.v1"
	TypeShadowEvaluated Type = "shadow.evaluated.v1"

	TypeScoreRequested Type = "score.requested.v1"
	TypeScoreCompleted Type = "score.completed.v1"
	TypeScoreFailed    Type = "score.failed.v1"

	TypeExperimentChanged Type = "experiment.changed.v1"
	TypeRunTracked        Type = "run.tracked.v1"
	TypeArtifactStored    Type = "artifact.stored.v1"
	TypeModelLogged       Type = "model.logged.v1"
)

// DeadPrefix starts the subjects of dead letters: "dead.<STREAM>.<consumer>".
const DeadPrefix = "dead"

// PredictPrefix starts the request-reply subject of a model: "predict.<model token>".
const PredictPrefix = "predict"

// Kind describes one event type.
type Kind struct {
	Type   Type
	Stream Stream
	// New returns an empty payload to decode into.
	New func() Payload
}

// Prefix returns the subject without the model's token, for instance "run.completed".
func (k Kind) Prefix() string { return string(k.Type[:strings.LastIndexByte(string(k.Type), '.')]) }

// Wildcard returns the subject for all models, for instance "run.completed.*".
func (k Kind) Wildcard() string { return k.Prefix() + ".*" }

// Subject returns the subject for one model.
func (k Kind) Subject(model string) (string, error) {
	t, err := Token(model)
	if err != nil {
		return "", err
	}
	return k.Prefix() + "." + t, nil
}

var kinds = []Kind{
	{TypeRunStarted, Lifecycle, func() Payload { return new(RunStarted) }},
	{TypeRunCompleted, Lifecycle, func() Payload { return new(RunCompleted) }},
	{TypeRunFailed, Lifecycle, func() Payload { return new(RunFailed) }},
	{TypeModelRegistered, Lifecycle, func() Payload { return new(ModelRegistered) }},
	{TypeModelGated, Lifecycle, func() Payload { return new(ModelGated) }},
	{TypeModelPromoted, Lifecycle, func() Payload { return new(ModelPromoted) }},
	{TypeModelChanged, Lifecycle, func() Payload { return new(ModelChanged) }},
	{TypeRolloutChanged, Lifecycle, func() Payload { return new(RolloutChanged) }},
	{TypeDriftAlert, Causes, func() Payload { return new(DriftAlert) }},
	{TypeDriftCleared, Causes, func() Payload { return new(DriftCleared) }},
	{TypeRetrainRequested, Causes, func() Payload { return new(RetrainRequested) }},
	{TypeRetrainSkipped, Causes, func() Payload { return new(RetrainSkipped) }},
	{TypeScheduleRetrain, Causes, func() Payload { return new(ScheduleRetrain) }},
	{TypeModelLoaded, Fleet, func() Payload { return new(ModelLoaded) }},
	{TypeModelLoadFailed, Fleet, func() Payload { return new(ModelLoadFailed) }},
	{TypeInstanceAlive, Fleet, func() Payload { return new(InstanceAlive) }},
	{TypeServingMeasured, Fleet, func() Payload { return new(ServingMeasured) }},
	{TypePredictionMade, Predictions, func() Payload { return new(PredictionMade) }},
	{TypeLabelObserved, Labels, func() Payload { return new(LabelObserved) }},
	{TypeExampleJoined, Training, func() Payload { return new(ExampleJoined) }},
	{TypeDriftEvaluated, Drift, func() Payload { return new(DriftEvaluated) }},
	{TypeShadowEvaluated, Drift, func() Payload { return new(ShadowEvaluated) }},
	{TypeScoreRequested, Scoring, func() Payload { return new(ScoreRequested) }},
	{TypeScoreCompleted, Scoring, func() Payload { return new(ScoreCompleted) }},
	{TypeScoreFailed, Scoring, func() Payload { return new(ScoreFailed) }},
	{TypeExperimentChanged, Tracking, func() Payload { return new(ExperimentChanged) }},
	{TypeRunTracked, Tracking, func() Payload { return new(RunTracked) }},
	{TypeArtifactStored, Tracking, func() Payload { return new(ArtifactStored) }},
	{TypeModelLogged, Tracking, func() Payload { return new(ModelLogged) }},
}

// byType and byPrefix find a kind; both are only read.
var byType, byPrefix = func() (map[Type]Kind, map[string]Kind) {
	types, prefixes := make(map[Type]Kind, len(kinds)), make(map[string]Kind, len(kinds))
	for _, k := range kinds {
		types[k.Type], prefixes[k.Prefix()] = k, k
	}
	return types, prefixes
}()

// Kinds returns every event type. The slice is the caller's own.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// KindOf returns the kind of a type, and false for an unknown one.
func KindOf(t Type) (Kind, bool) {
	k, ok := byType[t]
	return k, ok
}

// KindsOn returns the kinds that live on a stream.
func KindsOn(s Stream) []Kind {
	var on []Kind
	for _, k := range kinds {
		if k.Stream == s {
			on = append(on, k)
		}
	}
	return on
}

// SubjectOf returns the subject of type t for one model.
func SubjectOf(t Type, model string) (string, error) {
	k, ok := KindOf(t)
	if !ok {
		return "", fmt.Errorf("%w: %q", ErrUnknownType, t)
	}
	return k.Subject(model)
}

// WildcardOf returns the subject of type t for all models. It panics on a type that is none of this package's constants.
func WildcardOf(t Type) string {
	k, ok := KindOf(t)
	if !ok {
		panic("events: unknown type " + string(t))
	}
	return k.Wildcard()
}

// ParseSubject returns the kind and the model's real name of a subject such as "run.completed.telco-churn".
func ParseSubject(subject string) (Kind, string, error) {
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return Kind{}, "", fmt.Errorf("%w: subject %q", ErrUnknownType, subject)
	}
	if k, ok := byPrefix[subject[:i]]; ok {
		model, err := FromToken(subject[i+1:])
		return k, model, err
	}
	return Kind{}, "", fmt.Errorf("%w: subject %q", ErrUnknownType, subject)
}
