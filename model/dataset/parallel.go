package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// job is a block on its way: parsed and worked on by some goroutine, joined in the order of the file.
type job[T any] struct {
	block block
	part  *part
	made  T
	err   error
	done  chan struct{}
}

// line is the way of a CSV file's blocks: read, parsed and worked on by several goroutines, joined in the order of the file.
type line[T any] struct {
	ctx   context.Context // of one call of parallelParts
	csv   *csvSource
	l     *loading
	work  func(*part) (T, error)
	join  func(T) error
	jobs  chan *job[T]
	queue []*job[T] // read and not joined
	own   *parser   // of the reading goroutine, which parses too where nothing else is to be done
}

// parallelParts reads a CSV file block by block. The caller's goroutine reads, finds where blocks end and joins; the others parse and
// work. At most three blocks per goroutine are in memory. Every goroutine has ended when it returns.
func parallelParts[T any](ctx context.Context, csv *csvSource, o LoadOptions, l *loading, work func(*part) (T, error), join func(T) error) error {
	threads := o.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	most := 3 * threads
	l.lines = csv.lines + int64(csv.split.line)
	csv.blocks.free = make(chan []byte, most)
	n := &line[T]{ctx: ctx, csv: csv, l: l, work: work, join: join, jobs: make(chan *job[T], most), own: csv.parser(o.ReaderOptions)}
	var wait sync.WaitGroup
	defer wait.Wait()
	defer close(n.jobs)
	for range threads - 1 {
		wait.Go(func() {
			p := csv.parser(o.ReaderOptions)
			for j := range n.jobs {
				n.run(p, j)
			}
		})
	}
	for {
		b, err := csv.nextBlock()
		if err == nil {
			j := &job[T]{block: b, done: make(chan struct{})}
			n.queue = append(n.queue, j)
			n.jobs <- j
		}
		for len(n.queue) > 0 && (err != nil || len(n.queue) == most) {
			if err := n.settle(); err != nil {
				return err
			}
		}
		if err != nil {
			return n.end(err)
		}
	}
}

// run parses a block and works on it.
func (n *line[T]) run(p *parser, j *job[T]) {
	defer close(j.done)
	j.part = p.parse(j.block)
	n.csv.blocks.reuse(j.block)
	j.made, j.err = n.work(j.part)
}

// settle joins the first block in the queue, and parses others until it is done.
func (n *line[T]) settle() error {
	j := n.queue[0]
	n.queue[0], n.queue = nil, n.queue[1:]
	for waiting := true; waiting; {
		select {
		case <-j.done:
			waiting = false
		case other := <-n.jobs:
			n.run(n.own, other)
		}
	}
	if n.ctx.Err() != nil {
		return fmt.Errorf("load data: %w", context.Cause(n.ctx))
	}
	if j.err != nil {
		return j.err
	}
	if err := n.l.take(j.part); err != nil {
		return err
	}
	return n.join(j.made)
}

// end turns what ended the reading, once all before it is joined, into the error of the whole.
func (n *line[T]) end(err error) error {
	r := n.l.report
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, errNoEnd):
		data := &DataError{Message: "the file is not valid CSV", Faults: []Fault{{
			Row: r.Rows + 1, Line: n.l.lines + 1, Rule: RuleTooLong, Message: err.Error()}}}
		r.addFaults(data.Faults)
		return data
	}
	return fmt.Errorf("read row %d: %w", r.Rows+1, err)
}
