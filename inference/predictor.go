package inference

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/explain"
)

// Promotion says under which promotion a version is served.
type Promotion struct {
	Version int    `json:"version"`
	Digest  string `json:"digest"`
	RunID   string `json:"run_id,omitempty"`
	// Sequence is the promotion's sequence in LIFECYCLE.
	Sequence uint64 `json:"promotion_sequence"`
}

// Predictor answers with one bundle under one promotion. It is immutable and safe for concurrent use; a request uses one snapshot of Predictors
// from its start to its end. It does no input or output, reads no clock, and is the same code for every transport.
type Predictor struct {
	name      string
	bundle    *model.Bundle
	promotion Promotion
	columns   [sha256.Size]byte // of what says how a record is read: equal ones read alike
	words     words
	logWords  logWords
	scorers   sync.Pool              // of *scorer
	series    atomic.Pointer[series] // its metrics, resolved at its first answer
	explainer func() (*explain.Explainer, error)
	failing   alarm // of what it fails with as a candidate
}

// scorer is what one goroutine needs to score: reused buffers.
type scorer struct {
	row     *dataset.Row
	decoder *dataset.Decoder
	score   *model.Scorer
}

// NewPredictor returns a Predictor over a bundle that the caller has verified; name is the model's name in the answers.
func NewPredictor(name string, b *model.Bundle, p Promotion) *Predictor {
	pr := &Predictor{name: name, bundle: b, promotion: p, columns: columnsOf(b), words: newWords(name, b, p.Version), logWords: newLogWords(b, p)}
	pr.scorers.New = func() any {
		return &scorer{row: b.Schema.NewRow(), decoder: b.Schema.NewDecoder(), score: b.NewScorer()}
	}
	pr.explainer = sync.OnceValues(func() (*explain.Explainer, error) { return explain.New(b) })
	return pr
}

// columnsOf returns a digest of the columns' part of the spec.
func columnsOf(b *model.Bundle) [sha256.Size]byte {
	text, err := json.Marshal(b.Spec.Columns)
	if err != nil {
		panic("inference: encode columns: " + err.Error()) // names, numbers that a spec can hold, and booleans always encode
	}
	return sha256.Sum256(text)
}

// Promotion returns what the Predictor serves.
func (p *Predictor) Promotion() Promotion { return p.promotion }

func (p *Predictor) scorer() *scorer    { return p.scorers.Get().(*scorer) }
func (p *Predictor) release(sc *scorer) { p.scorers.Put(sc) }

// read decodes a record into the scorer's row. index is the record's place in a list, negative for a single record. What it warns of is for
// score. The row's strings are views of record where they are no words of the schema. It allocates nothing for a record without faults and
// warnings.
func (p *Predictor) read(sc *scorer, record []byte, index int, strict bool) (warned []dataset.Fault, faults []Problem) {
	warned, err := sc.decoder.Decode(record, sc.row, dataset.DecodeOptions{Strict: strict})
	if err == nil {
		return warned, nil
	}
	var re *dataset.RecordError
	if errors.As(err, &re) {
		return nil, problemsOf(index, re.Faults)
	}
	return nil, []Problem{{Loc: location(index, ""), Msg: err.Error(), Type: "value_error"}}
}

// score scores a row that this Predictor, or one with the same columns, has read, into r. With faults, which there are for strict alone, r is left
// as it is.
func (p *Predictor) score(sc *scorer, row *dataset.Row, warned []dataset.Fault, index int, strict bool, r *scored) (faults []Problem) {
	got := sc.score.Score(row)
	var unseen []dataset.Fault
	if got.Unseen {
		unseen = p.unseen(row, warned)
	}
	if strict && len(unseen) > 0 {
		return problemsOf(index, unseen)
	}
	r.probability, r.positive = got.Probability, got.Positive
	if len(warned)+len(unseen) > 0 {
		r.warnings = problemsOf(index, slices.Concat(warned, unseen))
	}
	return nil
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

// Predict answers a body that holds one record or a list of records as JSON objects by column name, as the service does with nothing but this
// Predictor: its plain form, for callers in the same process and to hold the service's answers against. It keeps slices of body, which must not
// change afterwards. The error is always a [*RequestError]: 422 with every fault of every record, or 413 for too many records. One faulty record
// refuses the whole list, as half an answer would be easy to take for a whole one.
func (p *Predictor) Predict(body []byte, o Options) (*Batch, error) {
	records, count, list, err := splitRecords(nil, body, o.MaxRecords)
	if err != nil {
		return nil, notJSON(err)
	}
	if o.MaxRecords > 0 && count > o.MaxRecords {
		return nil, errTooManyRecords(count, o.MaxRecords)
	}
	sc := p.scorer()
	defer p.release(sc)
	b := &Batch{List: list, Answers: make([]Answer, 0, len(records))}
	var all faultList
	for i, record := range records {
		var r scored
		warned, faults := p.read(sc, record, indexIn(list, i), o.Strict)
		if len(faults) == 0 {
			faults = p.score(sc, sc.row, warned, indexIn(list, i), o.Strict, &r)
		}
		all.add(faults)
		if !all.none() {
			continue
		}
		label := p.bundle.Schema.Negative()
		if r.positive {
			label = p.bundle.Schema.Positive()
		}
		b.Answers = append(b.Answers, Answer{
			PredictionID: o.NewID(), Model: p.name, Version: p.promotion.Version, Probability: r.probability, Label: label, Positive: r.positive,
			Threshold: p.bundle.Manifest.Threshold, EntityID: strings.Clone(sc.row.ID), Record: record, Warnings: r.warnings,
		})
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	return b, nil
}

// indexIn returns the place of record i in a list, -1 for a single record.
func indexIn(list bool, i int) int {
	if !list {
		return -1
	}
	return i
}

func notJSON(err error) *RequestError {
	return unprocessable(Problem{Loc: []any{"body"}, Msg: err.Error(), Type: "json_invalid"})
}

func errTooManyRecords(have, most int) *RequestError {
	return &RequestError{Code: http.StatusRequestEntityTooLarge,
		Text: fmt.Sprintf("the list has %d records, at most %d are allowed", have, most)}
}
