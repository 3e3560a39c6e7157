package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"telco-churn-mlops/inference/batch/columnar"
	"telco-churn-mlops/model/dataset"
)

// input hands out the rows of a file, block by block, from where a state stands.
type input interface {
	// next returns the next block, io.EOF behind the last one.
	next() (*task, error)
	// decoder returns one that belongs to a goroutine.
	decoder() (decoder, error)
	// total is what the offset of the end will be.
	total() int64
	io.Closer
}

type decoder interface {
	decode(*task) (*dataset.Rows, error)
	io.Closer
}

// task is a block on its way: decoded, scored and encoded by some goroutine, written in the order of the file.
type task struct {
	data []byte // of text
	last bool
	end  int64 // offset behind the block

	rows    *dataset.Rows
	score   []float64
	reasons []string  // nil unless asked for
	body    []byte    // encoded rows; nil where that needs to know how many rows came before
	table   *rowGroup // or their values
	err     error
	done    chan struct{}
	written chan struct{} // of a block that is alone in hand; else nil
}

// Run does the job, or what is left of it. It blocks; when ctx ends it leaves a checkpoint and returns the cause. An error of the input's content
// is a *dataset.DataError or one of this package's; the files that were begun stay for the next run, and the Result, if it is not nil, holds how many rows were done.
func Run(ctx context.Context, j Job) (*Result, error) {
	if err := j.complete(); err != nil {
		return nil, fmt.Errorf("score: %w: %w", ErrInvalid, err)
	}
	if err := j.apart(); err != nil {
		return nil, fmt.Errorf("score: %w: %w", ErrInvalid, err)
	}
	r, err := run(ctx, &j)
	if err != nil {
		return r, fmt.Errorf("score %s: %w", j.Output, err)
	}
	return r, nil
}

func run(ctx context.Context, j *Job) (_ *Result, err error) {
	out, err := openOutput(ctx, j)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	if !out.state.Done {
		if err := score(ctx, j, out); err != nil {
			s := &out.state
			return &Result{Rows: s.Rows, Scored: s.Scored, Faulty: s.Faulty, Warnings: s.Warnings, Resumed: out.resumed}, err
		}
	}
	if !j.Hold {
		if err := out.finish(); err != nil {
			return nil, err
		}
	}
	return out.result()
}

// score does all but naming the files.
func score(ctx context.Context, j *Job, out *output) (err error) {
	in, err := openInput(j, out.state)
	if err != nil {
		if out.state.Rows == 0 && out.state.Output == 0 { // nothing was begun that a next run could go on with
			err = errors.Join(err, out.discard())
		}
		return fmt.Errorf("input: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	w, err := newWriter(j, in, out)
	if err != nil {
		return err
	}
	if err := stream(ctx, j, in, w); err != nil {
		return err
	}
	if err := j.Input.Check(); err != nil {
		return err
	}
	return w.end()
}

func openInput(j *Job, s state) (input, error) {
	if j.InputFormat == Parquet {
		return openParquet(j, s.Offset)
	}
	return openText(j, s.Offset)
}

// stream passes blocks from the input through the workers to the writer. At most three per worker are in memory, and behind one that is a single long row
// none is read before that is written. Every goroutine has ended when it returns.
func stream(ctx context.Context, j *Job, in input, w *writer) error {
	threads := j.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	stop := make(chan struct{})
	todo, order := make(chan *task, threads), make(chan *task, 3*threads)
	var group sync.WaitGroup
	defer group.Wait()
	defer close(stop)
	group.Go(func() {
		defer close(todo)
		defer close(order)
		for {
			t, err := in.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t = &task{err: err}
			}
			t.done = make(chan struct{})
			if len(t.data) > j.block {
				t.written = make(chan struct{})
			}
			written := t.written
			if err != nil {
				close(t.done)
			}
			select {
			case order <- t:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
			select {
			case todo <- t:
			case <-stop:
				return
			}
			if written != nil {
				select {
				case <-written:
				case <-stop:
					return
				}
			}
		}
	})
	for range threads {
		group.Go(func() { worker(j, in, todo) })
	}
	for t := range order {
		select {
		case <-t.done:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), w.pause())
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), w.pause())
		}
		if err := w.take(t); err != nil {
			return err
		}
		if t.written != nil {
			close(t.written)
		}
	}
	return nil
}

// worker decodes, scores and encodes blocks until there are no more.
func worker(j *Job, in input, todo <-chan *task) {
	var s *scorer
	d, err := in.decoder()
	if err == nil {
		s, err = newScorer(j)
	}
	for t := range todo {
		if err != nil {
			t.err = err
		} else if t.rows, t.err = d.decode(t); t.err == nil {
			t.err = s.score(t)
		}
		release(t)
		close(t.done)
	}
	if d != nil {
		_ = d.Close() // it only read
	}
}

// writer takes blocks in their order.
type writer struct {
	job   *Job
	out   *output
	saved time.Time
	group *columnar.Writer // of a Parquet output
	text  *encoder         // of what workers could not encode
	buf   []byte
	tick  time.Time
	total int64
}

func newWriter(j *Job, in input, out *output) (*writer, error) {
	w := &writer{job: j, out: out, saved: time.Now(), total: in.total(), text: newEncoder(j)}
	if j.OutputFormat == Parquet {
		var err error
		w.group, err = newParquetWriter(j)
		if err != nil {
			return nil, err
		}
	}
	if out.state.Output > 0 {
		return w, nil
	}
	switch j.OutputFormat {
	case Parquet:
		return w, out.write([]byte(columnar.Magic))
	case CSV:
		return w, out.write(w.text.header())
	}
	return w, nil
}

// take writes a block.
func (w *writer) take(t *task) error {
	s := &w.out.state
	if t.err != nil {
		return w.located(t.err)
	}
	if t.rows.Err != nil {
		return w.located(t.rows.Err)
	}
	if w.job.MaxFaults != AnyFaults && s.Faulty+t.rows.Faulty > w.job.MaxFaults {
		return w.tooMany(t)
	}
	if len(t.rows.Faults) > 0 {
		if err := w.out.writeFaults(w.faults(t.rows.Faults)); err != nil {
			return err
		}
	}
	before := s.Rows
	s.Offset, s.Rows, s.Lines = t.end, s.Rows+t.rows.Records, s.Lines+t.rows.Lines
	s.Scored, s.Faulty, s.Warnings = s.Scored+int64(len(t.score)), s.Faulty+t.rows.Faulty, s.Warnings+t.rows.Warnings
	if w.group != nil {
		if err := w.group.Add(t.table.numbered(before)); err != nil {
			return err
		}
		if w.group.Rows() >= w.job.groupRows {
			if err := w.flush(); err != nil {
				return err
			}
		}
	} else {
		if t.body == nil && len(t.score) > 0 {
			t.body = w.text.rows(nil, t, before)
		}
		if err := w.out.write(t.body); err != nil {
			return err
		}
		recycle(t.body)
		if time.Since(w.saved) >= w.job.CheckpointEvery {
			if err := w.pause(); err != nil {
				return err
			}
			w.saved = time.Now()
		}
	}
	w.report()
	return nil
}

// report tells the progress, now and then.
func (w *writer) report() {
	if w.job.Progress == nil || time.Since(w.tick) < w.job.reportEvery {
		return
	}
	w.tick = time.Now()
	s := &w.out.state
	w.job.Progress(Progress{Done: s.Offset, Total: w.total, Rows: s.Rows, Faulty: s.Faulty, Resumed: w.out.resumed})
}

// pause writes a checkpoint of a text. That of a Parquet output stands where its last row group ended.
func (w *writer) pause() error {
	if w.group != nil {
		return nil
	}
	return w.out.checkpoint(nil, false)
}

// flush ends a row group.
func (w *writer) flush() error {
	body, group, err := w.group.End(w.out.state.Output)
	if err != nil {
		return err
	}
	if err := w.out.write(body); err != nil {
		return err
	}
	return w.out.checkpoint(group, false)
}

// end writes what is left, and says that all is done.
func (w *writer) end() error {
	if w.group != nil {
		if w.group.Rows() > 0 {
			if err := w.flush(); err != nil {
				return err
			}
		}
		footer, err := w.group.Footer(w.out.groups)
		if err != nil {
			return err
		}
		if err := w.out.write(footer); err != nil {
			return err
		}
	}
	w.tick = time.Time{}
	w.report()
	return w.out.checkpoint(nil, true)
}

// maxRecycled is the largest buffer that is kept for others.
const maxRecycled = 8 * textBlock

// buffers of text that was read or is to be written.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func recycle(p []byte) {
	if cap(p) > 0 && cap(p) <= maxRecycled {
		buffers.Put(bytes.NewBuffer(p[:0]))
	}
}

func fresh() []byte { return buffers.Get().(*bytes.Buffer).Bytes()[:0] }

// release gives the text of a block back.
func release(t *task) {
	recycle(t.data)
	t.data = nil
}
