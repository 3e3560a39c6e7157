package gbdt

import (
	"sync"
	"sync/atomic"
)

// blockRows is the fixed size of the row blocks that work is divided into. Sums depend on it, so it is never derived from the
// number of threads.
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
	threads = min(threads, n)
	if threads <= 1 {
		for i := range n {
			work(i)
		}
		return
	}
	var next atomic.Int64
	loop := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			work(i)
		}
	}
	var others sync.WaitGroup
	for range threads - 1 {
		others.Go(loop)
	}
	loop()
	others.Wait()
}
