package openinference

import (
	"context"
	"fmt"
	"strings"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/explain"
)

// Engine answers records. It is what the service behind this protocol implements; all methods are safe for concurrent use.
type Engine interface {
	// Served says what can be answered with at this moment. It doesn't wait.
	Served() Served
	// Admit takes one of the permits that bound the work in flight, before the request is parsed; release, called once, gives it back. The error is
	// an [*Error] with 429, and release is nil.
	Admit(context.Context) (release func(), err error)
	// Infer scores the records of a call and returns one result for each, in their order, or an [*Error]: half an answer would be easy to take for a
	// whole one. It counts and logs them as the service does all predictions, honours the context's deadline with 504, and may keep the records, which
	// are not changed afterwards.
	Infer(context.Context, Call) ([]Result, error)
}

// Served is what an instance serves at one moment.
type Served struct {
	// Model is the configured model's name.
	Model string
	// Versions are those held, the one in Production first; none where nothing is loaded.
	Versions []Version
	// Reason says why there is no version, for the 503.
	Reason string
}

// Version is one that an instance holds.
type Version struct {
	Number int
	Bundle *model.Bundle
	// Digest is that of the bundle's file, sha256:..., as it is named everywhere else.
	Digest string
}

// version returns the version of a number, 0 for the one in Production; nil if it is not held.
func (s *Served) version(number int) *Version {
	for i := range s.Versions {
		if number == 0 || s.Versions[i].Number == number {
			return &s.Versions[i]
		}
	}
	return nil
}

// Call is one request as an Engine sees it.
type Call struct {
	// Version is the one that the path named, 0 for whichever the rollout says.
	Version int
	// Records are JSON objects by column name, as /predict takes them; at least one.
	Records [][]byte
	// Explain asks for explanations.
	Explain bool
	// Strict refuses what is otherwise a warning about a value.
	Strict bool
	// RequestID is the client's own, "" for none: the header Request-Id, else the request's "id" if that is printable ASCII of at most 128 bytes.
	RequestID string
}

// Result is the answer to one record.
type Result struct {
	PredictionID string
	Version      int
	// Revision is that of the split in force, 0 for none. It is the same in all results of a call.
	Revision    int
	Probability float64
	Label       string
	// Warnings are sentences that name their column.
	Warnings []string
	// Explanation is nil unless it was asked for.
	Explanation *explain.Explanation
}

// Fault is one thing wrong with a record.
type Fault struct {
	Row     int    // from 0
	Column  string // "" for the record as a whole
	Message string
}

// Error is a request that can't be answered.
type Error struct {
	Code int
	// Text is what the client reads; where it is "", the faults are.
	Text   string
	Faults []Fault
	More   int // faults beside Faults, which are only counted
}

// shownFaults bounds the faults in an error's text.
const shownFaults = 50

// Body returns what the client reads: {"error": text}.
func (e *Error) Body() []byte {
	return append(dataset.AppendString([]byte(`{"error":`), e.Error()), "}\n"...)
}

// Error returns the text, or the first faults with row and column and how many more there are.
func (e *Error) Error() string {
	if e.Text != "" {
		return e.Text
	}
	var b strings.Builder
	for i, f := range e.Faults {
		if i == shownFaults {
			fmt.Fprintf(&b, "; and %d more", len(e.Faults)-i+e.More)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "row %d", f.Row)
		if f.Column != "" {
			b.WriteString(", " + f.Column)
		}
		b.WriteString(": " + f.Message)
	}
	return b.String()
}
