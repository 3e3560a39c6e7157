package eval

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// workers returns how many goroutines to use: threads, or as many as run at once if it is 0, but no more than there are jobs.
func workers(threads, jobs int) int {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return max(min(threads, jobs), 1)
}

// parallel runs job for 0 to n-1 and waits for all. A job gets the number of its worker, below the given number, for its scratch memory. Of several
// errors the one of the lowest job is returned, which is the same whatever the number of workers; once ctx is done it is ctx's cause.
func parallel(ctx context.Context, workers, n int, job func(worker, i int) error) error {
	var next, lowest atomic.Int64
	lowest.Store(int64(n))
	errs := make([]error, n)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for {
				i := next.Add(1) - 1
				// every job below a failed one still runs, so that the lowest failure is found
				if i >= lowest.Load() || ctx.Err() != nil {
					return
				}
				if errs[i] = job(w, int(i)); errs[i] != nil {
					for old := lowest.Load(); i < old && !lowest.CompareAndSwap(old, i); old = lowest.Load() {
					}
				}
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if at := lowest.Load(); at < int64(n) {
		return errs[at]
	}
	return nil
}
