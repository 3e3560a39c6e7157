package spec

import (
	"path"
	"reflect"
	"strings"
	"time"
)

// DefaultMaxLevels bounds the vocabulary of a categorical column.
const DefaultMaxLevels = 64

// The defaults of target encoding. Smoothing by 10 rows is what levels call for whose true shares scatter by 0.14 around a
// prior of 0.27, p(1-p)/0.14^2, as those of columns that tell anything do; a level of 100 rows so keeps nine tenths of its own
// share, one of 3 rows a quarter.
const (
	DefaultTargetSmoothing = 10
	DefaultTargetFolds     = 5
)

// defaultMissing are the words that other tools write for "no value". The list is short on purpose: "None" and "-" are
// values in too many files.
var defaultMissing = []string{"NA", "N/A", "NaN", "nan", "null", "NULL", "?"}

// counterparts maps a positive label to the negative one that goes without saying.
var counterparts = map[string]string{
	"Yes": "No", "yes": "no", "YES": "NO",
	"True": "False", "true": "false", "TRUE": "FALSE",
	"Y": "N", "y": "n", "T": "F", "t": "f",
	"1": "0", "1.0": "0.0",
}

// Default returns a spec in which everything that has a default has it: name, columns and staging gates are empty.
// Experiment, salt and the target's negative value follow from fields that are not set yet: Complete fills them.
func Default() *Spec {
	return &Spec{
		Promotion: PromotionAuto,
		Dataset:   Dataset{Delimiter: ","},
		Columns:   Columns{Missing: cloneSlice(defaultMissing)},
		Features: Features{
			Impute: ImputeMedian, Scale: ScaleStandard, Encoding: EncodingOrdinal,
			TargetSmoothing: DefaultTargetSmoothing, TargetFolds: DefaultTargetFolds,
		},
		Learner: Learner{
			Trees: 200, LearningRate: 0.05, MaxDepth: 3, L2: 1, MinChildWeight: 1e-3, MinChildRows: 20,
			Subsample: 0.8, ColumnSample: 1, ColumnSampleNode: 1, MaxBins: 255, EarlyStoppingRounds: 30, Seed: 1, PositiveWeight: 1,
		},
		Calibration: CalibrationNone,
		Split:       Split{Holdout: 0.2, Validation: 0.2},
		Gates:       Gates{Production: Comparison{Metric: "f1_churn"}},
		Rollout:     DefaultRollout(),
		Drift: Drift{
			Window: 1000, MaxAge: 168 * time.Hour, Every: 250, MinRows: 300, Alert: 0.2, Clear: 0.15,
			Confidence: 0.999, Consecutive: 3, Repeat: 24 * time.Hour, Bins: 10, EmptyShare: 1e-4,
		},
		Retrain: Retrain{Debounce: 30 * time.Second, Cooldown: 24 * time.Hour, MinNewRows: 500},
		Expectations: Expectations{
			PositiveShareMax: 1, MaxQuarantined: 0.05, MaxUnseen: 0.01,
		},
	}
}

// DefaultPerformance returns the performance monitor that a spec gets by writing "performance: {}".
func DefaultPerformance() Performance {
	return Performance{
		Every: 100, Window: 1000, MinRows: 500, MinPositives: 30, Drop: 0.05, Clear: 0.02,
		StandardErrors: 3, Consecutive: 2, Action: ActionReport,
	}
}

// Complete fills what follows from other fields: experiment and salt from the name, the target's negative value from its
// positive one. It changes nothing that is set, but writes the rollout's plan in its one form. Parse calls it.
func (s *Spec) Complete() {
	if s.Experiment == "" && s.Name != "" {
		s.Experiment = s.Name + "-training"
	}
	if s.Split.Salt == "" {
		s.Split.Salt = s.Name
	}
	if s.Columns.Target.Negative == "" {
		s.Columns.Target.Negative = counterparts[s.Columns.Target.Positive]
	}
	s.Rollout.complete()
}

// FormatOf returns the format that a file's name stands for: jsonl for .jsonl, .ndjson and .json, csv for .csv, .tsv and
// .txt, and "" (the reader decides by the content) for any other.
func FormatOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".jsonl", ".ndjson", ".json":
		return FormatJSONL
	case ".csv", ".tsv", ".txt":
		return FormatCSV
	}
	return ""
}

// elementDefault returns the value that a list element or an optional section starts from before its keys are read.
func elementDefault(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[Performance]():
		return reflect.ValueOf(DefaultPerformance())
	case reflect.TypeFor[Monitor]():
		return reflect.ValueOf(Monitor{Action: ActionReport})
	case reflect.TypeFor[Categorical]():
		return reflect.ValueOf(Categorical{MaxLevels: DefaultMaxLevels})
	case reflect.TypeFor[NotNull]():
		return reflect.ValueOf(NotNull{Mostly: 1})
	case reflect.TypeFor[Decision]():
		return reflect.ValueOf(Decision{By: RuleF1})
	case reflect.TypeFor[Profit]():
		return reflect.ValueOf(DefaultProfit())
	case reflect.TypeFor[CategoricalSplits]():
		return reflect.ValueOf(DefaultCategoricalSplits())
	case reflect.TypeFor[Schedule]():
		return reflect.ValueOf(Schedule{TimeZone: "UTC", TargetStage: "production"})
	}
	return reflect.Zero(t)
}
