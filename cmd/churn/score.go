package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-isatty"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/inference/batch/place"
	"telco-churn-mlops/inference/scorer"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/model"
)

// faultyRows is the exit code of a file that was scored but for its faulty rows.
const faultyRows = 3

type scoreCmd struct {
	remote
	connect.Artifacts
	In         string        `name:"in" required:"" help:"CSV, JSON lines or Parquet: a file, or s3://bucket/key?endpoint=...; with --queue also sha256:... of the artifact store." placeholder:"PLACE"`
	Out        string        `name:"out" required:"" help:"Where the scores go, by the same rules; with --queue also artifact:." placeholder:"PLACE"`
	Model      string        `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
	Version    int           `name:"version" help:"Version to score with; Production by default, by the events of --nats." placeholder:"N"`
	Bundle     string        `name:"bundle" help:"Bundle file to score with, without NATS." placeholder:"FILE"`
	InFormat   string        `name:"in-format" default:"" enum:",csv,jsonl,parquet" help:"csv, jsonl or parquet; by the name otherwise."`
	OutFormat  string        `name:"out-format" default:"" enum:",csv,jsonl,parquet" help:"csv, jsonl or parquet; by the name otherwise."`
	Delimiter  string        `name:"delimiter" help:"Delimiter of CSV input; a comma by default." placeholder:"CHAR"`
	Columns    []string      `name:"columns" help:"Columns of the input to copy to the output." placeholder:"NAME"`
	RowID      bool          `name:"row-id" help:"Use the number of the row for an id, where a file has none."`
	Explain    bool          `name:"explain" help:"Add the reasons of each score."`
	Reasons    int           `name:"reasons" default:"3" help:"How many of them."`
	MaxFaults  int64         `name:"max-faults" default:"-1" help:"Faulty rows to tolerate: with more the work stops, with as many the exit code is 0. By default all rows are read and any faulty one makes the exit code 3."`
	Force      bool          `name:"force" help:"Replace an output that is there, and begin anew where a checkpoint is of other work."`
	Threads    int           `name:"score-threads" env:"CHURN_SCORE_THREADS" default:"0" help:"Goroutines that score a file; 0 is all processors."`
	ScratchDir string        `name:"scratch-dir" env:"CHURN_SCRATCH_DIR" default:"${scratch_dir}" help:"Folder for outputs on their way to a store."`
	Queue      bool          `name:"queue" help:"Have a scorer do it: publish score.requested and end."`
	Wait       bool          `name:"wait" help:"With --queue: wait until it is done."`
	JobID      string        `name:"job-id" help:"With --queue: name of the job, so that asking again is the same work; a random one by default." placeholder:"ID"`
	Actor      string        `name:"actor" env:"CHURN_ACTOR" help:"Who, for the record; user@host by default." placeholder:"NAME"`
	Timeout    time.Duration `name:"timeout" default:"24h" help:"With --wait: how long to wait."`
}

// Run scores a file, or asks for it.
func (c scoreCmd) Run(r *run) error {
	switch {
	case c.Bundle != "" && (c.Version != 0 || c.Queue):
		return errors.New("--bundle goes with neither --version nor --queue")
	case c.Wait && !c.Queue, c.JobID != "" && !c.Queue:
		return errors.New("--wait and --job-id go with --queue")
	case c.MaxFaults < batch.AnyFaults || c.Version < 0 || c.Threads < 0 || c.Reasons < 1:
		return errors.New("--version and --score-threads must not be negative, --max-faults not below -1, --reasons at least 1")
	case c.In == "-" || c.Out == "-":
		return errors.New("--in and --out are files or objects: a stream could not be gone on with")
	case len([]rune(c.Delimiter)) > 1:
		return errors.New("--delimiter: want one character")
	}
	if c.Queue {
		return c.ask(r)
	}
	return c.score(r)
}

// score does the work in this process.
func (c scoreCmd) score(r *run) (err error) {
	places := place.Places{Anywhere: true, S3: c.Object, Scratch: c.ScratchDir}
	in, err := places.Input(r.ctx, c.In)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := places.Output(r.ctx, c.Out, "churn score "+c.Out, c.Force)
	if err != nil {
		return hinted(err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Apart(in); err != nil {
		return err
	}
	b, version, digest, err := c.bundle(r, in, out)
	if err != nil {
		return err
	}
	j := batch.Job{Bundle: b, Version: version, Input: in, InputFormat: batch.Format(c.InFormat), OutputFormat: batch.Format(c.OutFormat),
		Folder: out.Folder, Output: out.Name, Hold: out.Hold, Columns: c.Columns, RowID: c.RowID, Explain: c.Explain, Reasons: c.Reasons,
		MaxFaults: c.MaxFaults, Force: c.Force, Threads: c.Threads}
	if c.Delimiter != "" {
		j.Delimiter = []rune(c.Delimiter)[0]
	}
	if j.InputFormat == "" {
		if j.InputFormat, err = batch.FormatOf(in.Name); err != nil {
			return fmt.Errorf("%w (--in-format says it)", err)
		}
	}
	if j.OutputFormat == "" {
		if j.OutputFormat = out.Format; out.NoFormat != nil {
			return fmt.Errorf("%w (--out-format says it)", out.NoFormat)
		}
	}
	began := time.Now()
	show := newScoreProgress(r, began)
	j.Progress = show.tell
	result, err := batch.Run(r.ctx, j)
	show.end()
	if err != nil && r.ctx.Err() != nil {
		return &interrupted{error: err, next: "run the same command again to go on where it stopped"}
	}
	if err != nil {
		return hinted(err)
	}
	uri, faults, err := out.Store(r.ctx, c.Out, result)
	if err != nil {
		return err
	}
	result.Output, result.Faults = uri, faults
	return c.report(r, result, digest, time.Since(began))
}

// hinted adds what to do.
func hinted(err error) error {
	switch {
	case errors.Is(err, batch.ErrExists), errors.Is(err, batch.ErrOther):
		return fmt.Errorf("%w (--force begins anew and replaces it)", err)
	case errors.Is(err, batch.ErrFaults):
		return fmt.Errorf("%w (a greater --max-faults goes on where it stopped)", err)
	}
	return err
}

// bundle returns the bundle of --bundle, or that of a version, and the digest of its file. A work that was begun goes on with its version.
func (c scoreCmd) bundle(r *run, in *place.Input, out *place.Output) (_ *model.Bundle, version int, digest artifact.Digest, err error) {
	if c.Bundle != "" {
		raw, err := os.ReadFile(c.Bundle)
		if err != nil {
			return nil, 0, "", err
		}
		b, err := model.Decode(raw)
		if err == nil {
			err = b.Verify()
		}
		if err != nil {
			return nil, 0, "", fmt.Errorf("%s: %w", c.Bundle, err)
		}
		return b, 0, artifact.DigestOf(raw), nil
	}
	version = c.Version
	if begun, ok := batch.Pending(out.Folder, out.Name, "", in); ok && version == 0 {
		version = begun
	}
	s, err := c.settings(r, "score")
	if err != nil {
		return nil, 0, "", err
	}
	s.Artifacts, s.ExistingStore = c.Artifacts, true
	b, err := c.dial(r, "score")
	if err != nil {
		return nil, 0, "", fmt.Errorf("find the version (--bundle needs no NATS): %w", err)
	}
	bundle, v, err := c.fetch(r, s, b, version)
	return bundle, v.Number, v.Digest, closing(b, err)
}

func (c scoreCmd) fetch(r *run, s connect.Settings, b *bus.Bus, version int) (*model.Bundle, scorer.Version, error) {
	v, err := scorer.Find(r.ctx, b, c.Model, version)
	if err != nil {
		return nil, v, err
	}
	store, err := s.Store(r.ctx, b)
	if err != nil {
		return nil, v, err
	}
	bundle, err := scorer.Fetch(r.ctx, store, v, scorer.DefaultMaxBundle)
	return bundle, v, err
}

// report prints the result; its error is the exit code where rows were left out.
func (c scoreCmd) report(r *run, result *batch.Result, bundle artifact.Digest, took time.Duration) error {
	if r.JSON {
		if err := r.json(struct {
			*batch.Result
			Bundle  artifact.Digest `json:"digest"` // as in the event of a job that was queued
			Seconds float64         `json:"seconds"`
		}{result, bundle, took.Seconds()}); err != nil {
			return err
		}
	} else {
		by := fmt.Sprintf("version %d", result.Version)
		if result.Version == 0 {
			by = "bundle " + filepath.Base(c.Bundle)
		}
		fmt.Fprintf(r.out, "%d rows scored with %s in %.1f s: %s\n", result.Scored, by, took.Seconds(), result.Output)
		if result.Resumed > 0 {
			fmt.Fprintf(r.out, "%d of %d rows were read by an earlier run\n", result.Resumed, result.Rows)
		}
		if result.Warnings > 0 {
			fmt.Fprintf(r.out, "%d rows have values outside their bounds or sets\n", result.Warnings)
		}
	}
	if result.Faulty > 0 && c.MaxFaults == batch.AnyFaults {
		return exitCode{fmt.Errorf("%d of %d rows are faulty and left out: see %s", result.Faulty, result.Rows, result.Faults), faultyRows}
	}
	return nil
}

// exitCode is an error with an exit code of its own.
type exitCode struct {
	error
	code int
}

// Unwrap returns the cause.
func (e exitCode) Unwrap() error { return e.error }

// scoreProgress shows how far the work is, where a person looks.
type scoreProgress struct {
	r     *run
	began time.Time
	on    bool
	told  bool
}

func newScoreProgress(r *run, began time.Time) *scoreProgress {
	f, ok := r.errs.(*os.File)
	return &scoreProgress{r: r, began: began, on: ok && isatty.IsTerminal(f.Fd())}
}

func (p *scoreProgress) tell(at batch.Progress) {
	if !p.on {
		return
	}
	p.told = true
	share := 1.0
	if at.Total > 0 {
		share = float64(at.Done) / float64(at.Total)
	}
	rate := float64(at.Rows-at.Resumed) / time.Since(p.began).Seconds()
	fmt.Fprintf(p.r.errs, "\r\x1b[K%3.0f %%  %d rows  %.0f rows/s  %d faulty", 100*share, at.Rows, rate, at.Faulty)
}

func (p *scoreProgress) end() {
	if p.told {
		fmt.Fprint(p.r.errs, "\r\x1b[K")
	}
}

// ask publishes the request, and waits for what becomes of it if that is wanted.
func (c scoreCmd) ask(r *run) error {
	if c.Delimiter != "" || c.Reasons != batch.DefaultReasons {
		return errors.New("--delimiter and --reasons are not known to the queue")
	}
	b, err := c.connect(r, "score")
	if err != nil {
		return err
	}
	return closing(b, c.request(r, b))
}

func (c scoreCmd) request(r *run, b *bus.Bus) error {
	job := c.JobID
	if job == "" {
		job = rand.Text()
	}
	p := &events.ScoreRequested{JobID: job, Input: c.In, Output: c.Out, Format: events.ScoreFormat(c.InFormat), OutputFormat: events.ScoreFormat(c.OutFormat),
		Version: c.Version, Columns: c.Columns, RowID: c.RowID, Explain: c.Explain, RequestedBy: actor(c.Actor)}
	if c.MaxFaults != batch.AnyFaults {
		p.MaxFaults = &c.MaxFaults
	}
	asked, err := b.Publish(r.ctx, events.New(c.Model, b.Source(), job, time.Now(), p))
	if err != nil {
		return err
	}
	if !c.Wait {
		if r.JSON {
			return r.json(map[string]string{"job_id": job})
		}
		_, err := fmt.Fprintf(r.out, "job %s asked for\n", job)
		return err
	}
	return c.await(r, b, job, asked.Sequence)
}

// buried returns why a request, by its sequence, became a dead letter, or "" once ctx ended.
func buried(ctx context.Context, b *bus.Bus, sequence uint64) (reason string) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// Whoever may not read the dead letters waits for the job's own events alone.
	_ = b.Follow(ctx, bus.FollowConfig{Name: "score", Stream: events.Dead, Filters: []string{events.DeadPrefix + "." + string(events.Scoring) + ".>"}, Raw: true},
		func(_ context.Context, m bus.Message) error {
			var d events.DeadLetter
			if json.Unmarshal(m.Data, &d) == nil && d.Sequence == sequence {
				reason = d.Reason
				stop()
			}
			return nil
		})
	return reason
}

func (c scoreCmd) await(r *run, b *bus.Bus, job string, sequence uint64) error {
	ctx, cancel := context.WithTimeoutCause(r.ctx, c.Timeout, fmt.Errorf("job %s is not done within %s", job, c.Timeout))
	defer cancel()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	letter := make(chan string, 1)
	go func() {
		reason := buried(ctx, b, sequence)
		if reason != "" {
			stop()
		}
		letter <- reason
	}()
	var completed *events.ScoreCompleted
	var failed *events.ScoreFailed
	filters := []string{events.WildcardOf(events.TypeScoreCompleted), events.WildcardOf(events.TypeScoreFailed)}
	err := b.Follow(ctx, bus.FollowConfig{Name: "score", Stream: events.Scoring, Filters: filters}, func(_ context.Context, m bus.Message) error {
		if m.Event.Model != c.Model {
			return nil
		}
		switch p := m.Event.Payload.(type) {
		case *events.ScoreCompleted:
			if p.JobID == job {
				completed = p
				stop()
			}
		case *events.ScoreFailed:
			if p.JobID == job {
				failed = p
				stop()
			}
		}
		return nil
	})
	stop()
	dead := <-letter
	switch {
	case failed != nil:
		return fmt.Errorf("job %s failed: %s", job, failed.Reason)
	case completed == nil && dead != "":
		return fmt.Errorf("job %s became a dead letter (churn dead list): %s", job, dead)
	case completed == nil && err == nil:
		return context.Cause(ctx)
	case completed == nil:
		return err
	}
	if r.JSON {
		if err := r.json(completed); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(r.out, "job %s: %d rows scored with version %d by %s in %.1f s: %s\n", job, completed.Rows, completed.Version, completed.Worker,
			float64(completed.DurationMS)/1000, completed.Output)
	}
	if completed.Faulty > 0 && c.MaxFaults == batch.AnyFaults {
		return exitCode{fmt.Errorf("%d rows are faulty and left out: see %s", completed.Faulty, completed.Faults), faultyRows}
	}
	return nil
}
