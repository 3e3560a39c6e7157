package scorer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/inference/batch/place"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
)

// busyPause is how long a job waits that another process is still writing.
const busyPause = 5 * time.Second

// ledger knows which jobs are done. It is a fold of the stream that is continued whenever it is asked.
type ledger struct {
	bus  *bus.Bus
	mu   sync.Mutex
	next uint64
	done map[string]bool
}

func newLedger(b *bus.Bus) *ledger { return &ledger{bus: b, next: 1, done: map[string]bool{}} }

func jobKey(model, job string) string { return model + "\x00" + job }

// has reports whether the stream says at this moment that a job is done.
func (l *ledger) has(ctx context.Context, model, job string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.bus.Read(ctx, bus.ReadConfig{Stream: events.Scoring, From: l.next,
		Filters: []string{events.WildcardOf(events.TypeScoreCompleted), events.WildcardOf(events.TypeScoreFailed)}}, func(m bus.Message) error {
		l.next = m.Sequence + 1
		switch p := m.Event.Payload.(type) {
		case *events.ScoreCompleted:
			l.done[jobKey(m.Event.Model, p.JobID)] = true
		case *events.ScoreFailed:
			l.done[jobKey(m.Event.Model, p.JobID)] = true
		}
		return nil
	})
	return l.done[jobKey(model, job)], err
}

// handle does one job, unless it is done.
func (s *Service) handle(ctx context.Context, m bus.Message) error {
	req, ok := m.Event.Payload.(*events.ScoreRequested)
	if !ok { // the end of a job
		return nil
	}
	log := s.log.With("model", m.Event.Model, "job_id", req.JobID)
	done, err := s.ledger.has(ctx, m.Event.Model, req.JobID)
	if err != nil {
		return err
	}
	if done {
		s.metrics.jobs.WithLabelValues(outcomeRepeated).Inc()
		log.Info("job is done already")
		return nil
	}
	s.metrics.running.Inc()
	defer s.metrics.running.Dec()
	began := s.cfg.Now()
	log.Info("job begins", "input", req.Input, "output", req.Output)
	completed, r, err := s.score(ctx, m.Event.Model, req)
	switch {
	case errors.Is(err, batch.ErrBusy):
		return bus.RetryAfter(err, busyPause)
	case err != nil && (ctx.Err() != nil || !final(err)):
		return err
	case err != nil:
		log.Error("job failed", "err", err)
		failed := &events.ScoreFailed{JobID: req.JobID, Reason: err.Error(), Worker: s.cfg.Instance}
		if r != nil {
			failed.Rows = uint64(r.Scored)
		}
		return s.end(ctx, m.Event.Model, outcomeFailed, failed)
	}
	completed.DurationMS = s.cfg.Now().Sub(began).Milliseconds()
	s.step("scored")
	if err := s.end(ctx, m.Event.Model, outcomeCompleted, completed); err != nil {
		return err
	}
	s.metrics.rows.Add(float64(r.Scored))
	s.metrics.faulty.Add(float64(r.Faulty))
	s.metrics.duration.Observe(s.cfg.Now().Sub(began).Seconds())
	if r.Resumed > 0 {
		s.metrics.resumed.Inc()
	}
	log.Info("job completed", "version", r.Version, "rows", r.Scored, "faulty", r.Faulty, "resumed", r.Resumed, "output", completed.Output)
	return nil
}

// end says what became of a job, unless somebody has said it before.
func (s *Service) end(ctx context.Context, model, outcome string, p events.Payload) error {
	var job string
	switch p := p.(type) {
	case *events.ScoreCompleted:
		job = p.JobID
	case *events.ScoreFailed:
		job = p.JobID
	}
	if done, err := s.ledger.has(ctx, model, job); err != nil || done {
		return err
	}
	if _, err := s.cfg.Bus.Publish(ctx, events.New(model, s.cfg.Bus.Source(), job, s.cfg.Now(), p)); err != nil {
		return fmt.Errorf("say what became of job %s: %w", job, err)
	}
	s.metrics.jobs.WithLabelValues(outcome).Inc()
	return nil
}

// final reports whether an error says something about the job that no retry changes.
func final(err error) bool {
	var data *dataset.DataError
	if errors.As(err, &data) {
		return true
	}
	for _, verdict := range []error{place.ErrRefused, ErrNoVersion, errBundle, batch.ErrFaults, batch.ErrChanged, batch.ErrInvalid, batch.ErrOther, fs.ErrNotExist,
		fs.ErrPermission, syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, artifact.ErrNotFound, artifact.ErrCorrupt, artifact.ErrTooLarge} {
		if errors.Is(err, verdict) {
			return true
		}
	}
	return false
}

// score does the work of a job, or what is left of it.
func (s *Service) score(ctx context.Context, name string, req *events.ScoreRequested) (_ *events.ScoreCompleted, _ *batch.Result, err error) {
	in, err := s.cfg.Places.Input(ctx, req.Input)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := s.cfg.Places.Output(ctx, req.Output, jobKey(name, req.JobID), true)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil && ctx.Err() == nil && final(err) {
			err = errors.Join(err, out.Abandon())
		}
		err = errors.Join(err, out.Close())
	}()
	if err := out.Apart(in); err != nil {
		return nil, nil, err
	}
	version, b, err := s.version(ctx, name, req, in, out)
	if err != nil {
		return nil, nil, err
	}
	j := batch.Job{Bundle: b, Version: version.Number, Input: in, InputFormat: batch.Format(req.Format), OutputFormat: batch.Format(req.OutputFormat),
		Folder: out.Folder, Output: out.Name, Hold: out.Hold, Key: jobKey(name, req.JobID), Columns: req.Columns, RowID: req.RowID, Explain: req.Explain, MaxFaults: batch.AnyFaults, Force: true,
		Threads: s.cfg.Threads, CheckpointEvery: s.checkpoint, Progress: func(batch.Progress) { s.step("block") }}
	if req.MaxFaults != nil {
		j.MaxFaults = *req.MaxFaults
	}
	if j.InputFormat == "" {
		if j.InputFormat, err = batch.FormatOf(in.Name); err != nil {
			return nil, nil, err
		}
	}
	if j.OutputFormat == "" {
		if j.OutputFormat = out.Format; out.NoFormat != nil {
			return nil, nil, out.NoFormat
		}
	}
	r, err := batch.Run(ctx, j)
	if err != nil {
		return nil, r, err
	}
	uri, faults, err := out.Store(ctx, req.Output, r)
	if err != nil {
		return nil, nil, err
	}
	return &events.ScoreCompleted{JobID: req.JobID, Version: version.Number, Digest: string(version.Digest), Rows: uint64(r.Scored), Faulty: uint64(r.Faulty),
		Output: uri, Faults: faults, OutputDigest: r.Digest, Worker: s.cfg.Instance}, r, nil
}

// version returns what a job is scored with. One that asks for Production goes on with the version that it was begun with.
func (s *Service) version(ctx context.Context, name string, req *events.ScoreRequested, in *place.Input, out *place.Output) (Version, *model.Bundle, error) {
	number := req.Version
	if begun, ok := batch.Pending(out.Folder, out.Name, jobKey(name, req.JobID), in); ok && number == 0 {
		number = begun
	}
	v, err := Find(ctx, s.cfg.Bus, name, number)
	if err != nil {
		return v, nil, err
	}
	b, err := s.shelf.take(ctx, v)
	return v, b, err
}
