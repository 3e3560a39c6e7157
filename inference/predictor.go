package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
)

// Promotion says under which promotion a version is served.
type Promotion struct {
	Version int    `json:"version"`
	Digest  string `json:"digest"`
	RunID   string `json:"run_id,omitempty"`
	// Sequence is the promotion's sequence in LIFECYCLE.
	Sequence uint64 `json:"promotion_sequence"`
}

// Predictor answers with one bundle under one promotion. It is immutable and safe for concurrent use; a request uses one Predictor from its
// start to its end. It does no input or output, reads no clock, and is the same code for HTTP and NATS.
type Predictor struct {
	name      string
	bundle    *model.Bundle
	promotion Promotion
	scorers   sync.Pool // of *scorer
}

// scorer is what one goroutine needs to score: reused buffers.
type scorer struct {
	row   *dataset.Row
	score *model.Scorer
}

// NewPredictor returns a Predictor over a bundle that the caller has verified; name is the model's name in the answers.
func NewPredictor(name string, b *model.Bundle, p Promotion) *Predictor {
	pr := &Predictor{name: name, bundle: b, promotion: p}
	pr.scorers.New = func() any { return &scorer{row: b.Schema.NewRow(), score: b.NewScorer()} }
	return pr
}

// Promotion returns what the Predictor serves.
func (p *Predictor) Promotion() Promotion { return p.promotion }

// Answer is the answer to one record. What is not in the JSON goes to the prediction log.
type Answer struct {
	PredictionID string `json:"prediction_id"`
	Model        string `json:"model"`
	Version      int    `json:"version"`
	// Probability is that of the positive class, 0 to 1.
	Probability float64 `json:"churn_probability"`
	// Label is the class in the target's own word: the positive one if Probability >= Threshold.
	Label     string  `json:"label"`
	Threshold float64 `json:"threshold"`
	// Warnings name what was accepted and should be looked at: a category that training never saw, a number out of range, a column that
	// the model doesn't know.
	Warnings []Problem `json:"warnings,omitempty"`

	Positive bool            `json:"-"`
	EntityID string          `json:"-"`
	Record   json.RawMessage `json:"-"` // a slice of the request's body
}

// Batch is the answer to one request. List tells a list of one record from a single record.
type Batch struct {
	List    bool
	Answers []Answer
}

// Body returns the JSON for the client: an object for a single record, a list for a list, in the order of the records.
func (b *Batch) Body() ([]byte, error) {
	var v any = b.Answers
	if !b.List {
		v = &b.Answers[0]
	}
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return append(body, '\n'), nil
}

// Options of one request.
type Options struct {
	// Strict refuses what is otherwise a warning about a value.
	Strict bool
	// MaxRecords bounds a list; 0 means no bound.
	MaxRecords int
	// NewID returns a new prediction id. Required.
	NewID func() string
}

// Predict answers a body that holds one record or a list of records as JSON objects by column name. It keeps slices of body, which must not
// change afterwards. The error is always a [*RequestError]: 422 with every fault of every record, or 413 for too many records. One faulty record
// refuses the whole list, as half an answer would be easy to take for a whole one.
func (p *Predictor) Predict(body []byte, o Options) (*Batch, error) {
	records, list, err := splitRecords(body)
	if err != nil {
		return nil, unprocessable(Problem{Loc: []any{"body"}, Msg: err.Error(), Type: "json_invalid"})
	}
	if o.MaxRecords > 0 && len(records) > o.MaxRecords {
		return nil, &RequestError{Code: http.StatusRequestEntityTooLarge,
			Text: fmt.Sprintf("the list has %d records, at most %d are allowed", len(records), o.MaxRecords)}
	}
	s := p.scorers.Get().(*scorer)
	defer p.scorers.Put(s)
	b := &Batch{List: list, Answers: make([]Answer, 0, len(records))}
	var problems []Problem
	for i, record := range records {
		index := -1
		if list {
			index = i
		}
		a, faults := p.one(s, record, index, o.Strict)
		problems = append(problems, faults...)
		if len(problems) == 0 {
			a.PredictionID = o.NewID()
			b.Answers = append(b.Answers, a)
		}
	}
	if len(problems) > 0 {
		return nil, unprocessable(problems...)
	}
	return b, nil
}

// one scores a record. With faults the answer is empty.
func (p *Predictor) one(s *scorer, record []byte, index int, strict bool) (Answer, []Problem) {
	warnings, err := p.bundle.Schema.DecodeJSON(record, s.row, dataset.DecodeOptions{Strict: strict})
	var re *dataset.RecordError
	switch {
	case errors.As(err, &re):
		return Answer{}, problemsOf(index, re.Faults)
	case err != nil:
		return Answer{}, []Problem{{Loc: location(index, ""), Msg: err.Error(), Type: "value_error"}}
	}
	unseen := p.unseen(s.row, warnings)
	if strict && len(unseen) > 0 {
		return Answer{}, problemsOf(index, unseen)
	}
	r := s.score.Score(s.row)
	return Answer{
		Model: p.name, Version: p.promotion.Version, Probability: r.Probability, Label: r.Label, Positive: r.Positive,
		Threshold: p.bundle.Manifest.Threshold, EntityID: s.row.ID, Record: record,
		Warnings: problemsOf(index, append(warnings, unseen...)),
	}, nil
}

// unseen lists the columns whose category was not in the training part, without those that have a warning of their own already.
func (p *Predictor) unseen(row *dataset.Row, warned []dataset.Fault) []dataset.Fault {
	var faults []dataset.Fault
	for _, column := range p.bundle.Pipeline.Unseen(row) {
		if slices.ContainsFunc(warned, func(f dataset.Fault) bool { return f.Column == column }) {
			continue
		}
		value := row.Cat[slices.Index(p.bundle.Schema.Categorical(), column)]
		faults = append(faults, dataset.Fault{Column: column, Rule: "unseen", Value: value,
			Message: fmt.Sprintf("%s: the model was not trained with the value %.40q", column, value)})
	}
	return faults
}
