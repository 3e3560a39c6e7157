package gbdt

import (
	"sync"
	"sync/atomic"
)

// blockRows is the size of the row blocks that work is divided into. Sums of floating-point numbers are added by block, in block order,
// so it is never derived from the number of threads.
const blockRows = 8192

// blocks returns the number of blocks that rows are divided into.
func blocks(rows int) int {
	return (rows + blockRows - 1) / blockRows
}

// block returns the bounds of block b of so many rows.
func block(b, rows int) (low, high int) {
	return b * blockRows, min((b+1)*blockRows, rows)
}

// parallel calls work with 0 to n-1, in any order, on up to threads goroutines of which the caller's is one, and waits for all.
func parallel(threads, n int, work func(int)) {
	parallelWorkers(threads, n, func(_, i int) { work(i) })
}

// parallelWorkers is parallel for work that is also told which goroutine it is on, by a number from 0 to less than threads.
func parallelWorkers(threads, n int, work func(worker, i int)) {
	threads = min(threads, n)
	if threads <= 1 {
		for i := range n {
			work(0, i)
		}
		return
	}
	var next atomic.Int64
	loop := func(worker int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			work(worker, i)
		}
	}
	var others sync.WaitGroup
	for worker := 1; worker < threads; worker++ {
		others.Go(func() { loop(worker) })
	}
	loop(0)
	others.Wait()
}
