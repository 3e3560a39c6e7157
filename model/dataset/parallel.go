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
	run := func(p *parser, j *job[T]) {
		defer close(j.done)
		j.part = p.parse(j.block)
		csv.blocks.reuse(j.block)
		j.made, j.err = work(j.part)
	}
	jobs := make(chan *job[T], most)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer close(jobs)
	for range threads - 1 {
		wait.Go(func() {
			p := csv.parser(o.ReaderOptions)
			for j := range jobs {
				run(p, j)
			}
		})
	}
	own := csv.parser(o.ReaderOptions) // the reading goroutine parses too, where nothing else is to be done
	var queue []*job[T]
	settle := func() error { // joins the first in the queue
		j := queue[0]
		queue[0], queue = nil, queue[1:]
		for waiting := true; waiting; {
			select {
			case <-j.done:
				waiting = false
			case other := <-jobs:
				run(own, other)
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("load data: %w", context.Cause(ctx))
		}
		if j.err != nil {
			return j.err
		}
		if err := l.take(j.part); err != nil {
			return err
		}
		return join(j.made)
	}
	for {
		b, err := csv.nextBlock()
		if err == nil {
			j := &job[T]{block: b, done: make(chan struct{})}
			queue = append(queue, j)
			jobs <- j
			if len(queue) < most {
				continue
			}
		}
		for len(queue) > 0 && (err != nil || len(queue) >= most) {
			if err := settle(); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errNoEnd):
			data := &DataError{Message: "the file is not valid CSV", Faults: []Fault{{
				Row: l.report.Rows + 1, Line: l.lines + 1, Rule: RuleTooLong, Message: err.Error()}}}
			l.report.addFaults(data.Faults)
			return data
		case err != nil:
			return fmt.Errorf("read row %d: %w", l.report.Rows+1, err)
		}
	}
}
