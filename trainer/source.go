package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

type logger struct{ *slog.Logger }

// source is the spec's dataset on disk.
type source struct {
	path string

	mu     sync.Mutex
	size   int64
	mod    time.Time
	digest string
}

// fingerprint returns "xxh64:" and the hash of the dataset's bytes, empty if there is no dataset. The file is read again only if its size or
// modification time has changed.
func (s *source) fingerprint() (string, error) {
	if s.path == "" {
		return "", nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return "", fmt.Errorf("%s is a folder", s.path)
	}
	if s.digest != "" && info.Size() == s.size && info.ModTime().Equal(s.mod) {
		return s.digest, nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := xxhash.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", s.path, err)
	}
	s.size, s.mod, s.digest = info.Size(), info.ModTime(), fingerprintOf(h)
	return s.digest, nil
}

func fingerprintOf(h *xxhash.Digest) string { return fmt.Sprintf("xxh64:%016x", h.Sum64()) }

// reportError is a validation that failed, with its report.
type reportError struct {
	report *dataset.Report
	err    error
}

func (e *reportError) Error() string { return e.err.Error() }
func (e *reportError) Unwrap() error { return e.err }

func (e *reportError) json() json.RawMessage {
	if e.report == nil {
		return nil
	}
	b, err := json.Marshal(e.report)
	if err != nil {
		return nil
	}
	return b
}

// gather reads and validates all the data of a run: the dataset as it is now and the examples up to the recorded cut-off.
func (s *Service) gather(ctx context.Context, open *OpenRun) (Input, *dataset.Report, error) {
	s.setStep(open.RunID, "validate", 0)
	began := s.cfg.Now()
	defer func() { s.metrics.step("validate", began, s.cfg.Now()) }()
	in := Input{Spec: s.cfg.Spec, Schema: s.schema, DriftSince: open.DriftSince, RunID: open.RunID, Threads: s.cfg.Threads}
	examples, err := s.examples(ctx, open.DataCutoff)
	if err != nil {
		return in, nil, fmt.Errorf("read examples: %w", err)
	}
	in.Examples = examples
	table, report, fingerprint, err := s.load(ctx)
	if err != nil {
		return in, report, err
	}
	s.metrics.quarantined.Add(float64(report.Quarantined))
	if open.DatasetFingerprint != "" && fingerprint != open.DatasetFingerprint {
		s.log.Warn("the dataset has changed since the run was started", "run_id", open.RunID)
	}
	in.Dataset = table
	in.DatasetFingerprint = fmt.Sprintf("%s+training@%d", fingerprint, open.DataCutoff)
	return in, report, nil
}

// load reads the service's dataset, an empty one if it has none.
func (s *Service) load(ctx context.Context) (*dataset.Table, *dataset.Report, string, error) {
	if s.cfg.Dataset == "" {
		return dataset.NewTable(s.schema), &dataset.Report{Success: true}, "none", nil
	}
	return LoadDataset(ctx, s.cfg.Spec, s.schema, s.cfg.Dataset)
}

// LoadDataset reads a dataset by a spec and the schema made of it, checks it against the spec's expectations, and returns it with its report
// and the fingerprint of its bytes. Faults that make it unusable are a *StepError, with the report.
func LoadDataset(ctx context.Context, sp *spec.Spec, sch *dataset.Schema, path string) (*dataset.Table, *dataset.Report, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, "", &StepError{"dataset", err}
	}
	defer f.Close()
	h := xxhash.New()
	o := dataset.LoadOptions{MaxQuarantined: sp.Expectations.MaxQuarantined, Keep: 20}
	o.Format, o.Delimiter, o.RequireLabel = sp.Dataset.Format, sp.Dataset.Comma(), true
	table, report, err := dataset.Load(ctx, io.TeeReader(f, h), sch, o)
	if ctx.Err() != nil {
		return nil, nil, "", context.Cause(ctx)
	}
	if err == nil {
		err = dataset.Check(table, report, sp.Expectations)
	}
	if err != nil {
		return nil, report, "", &StepError{"validate", &reportError{report, err}}
	}
	return table, report, fingerprintOf(h), nil
}

// examples returns the joined examples of the model up to a TRAINING sequence. Records that the spec of today can't read are left out and
// reported: they were made under another spec.
func (s *Service) examples(ctx context.Context, through uint64) ([]Example, error) {
	if through == 0 {
		return nil, nil
	}
	subject, err := events.SubjectOf(events.TypeExampleJoined, s.cfg.Spec.Name)
	if err != nil {
		return nil, err
	}
	var out []Example
	unusable := 0
	r := bus.ReadConfig{Stream: events.Training, Filters: []string{subject}, From: 1, Through: through}
	err = s.cfg.Bus.Read(ctx, r, func(m bus.Message) error {
		p, ok := m.Event.Payload.(*events.ExampleJoined)
		if !ok {
			return nil // junk, dead-lettered by the stream's owner
		}
		e, err := s.example(p)
		var fault *dataset.RecordError
		switch {
		case errors.As(err, &fault):
			unusable++
		case err != nil:
			return err
		default:
			out = append(out, e)
		}
		return nil
	})
	if unusable > 0 {
		s.log.Warn("examples that the spec can't read were left out", "count", unusable)
	}
	return out, err
}

func (s *Service) example(p *events.ExampleJoined) (Example, error) {
	row := s.schema.NewRow()
	if _, err := s.schema.DecodeJSON(p.Record, row, dataset.DecodeOptions{}); err != nil {
		return Example{}, err
	}
	if row.ID == "" {
		row.ID = p.EntityID
	}
	if row.ID == "" { // nobody knows who it was: an entity of its own, as the fold counts it
		row.ID = p.PredictionID
	}
	row.Label = 0
	if p.Observed {
		row.Label = 1
	}
	return Example{PredictionsSequence: p.PredictionsSequence, Row: row}, nil
}
