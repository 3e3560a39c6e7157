package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Config says what to measure. DefaultConfig makes one; the zero value is not valid.
type Config struct {
	// Runs are the sizes at which searches and start-up are measured, ascending.
	Runs []int
	// Searches is how often each query is asked, at least 1.
	Searches int
	// Clients call log-batch at the same time, for Rounds rounds of Round each on either side.
	Clients, Rounds int
	Round           time.Duration
	// StoreBytes is the size of the server's store. A tenth of it is TRACKING's.
	StoreBytes int64
	// Dir is the folder for the store; empty stands for a temporary one that is removed.
	Dir string
	// Profiles is a folder for CPU profiles of the registries, from the first answer to the end; empty makes none.
	Profiles string
	// Out names the Markdown file whose block is rewritten; empty rewrites none.
	Out string
}

// DefaultConfig returns a run of some ten minutes.
func DefaultConfig() Config {
	return Config{Runs: []int{10_000, 30_000, 100_000, 300_000}, Searches: 200, Clients: 16, Rounds: 5, Round: 3 * time.Second, StoreBytes: 20 << 30}
}

// short returns c with sizes that take a second, to see that everything works.
func (c Config) short() Config {
	c.Runs, c.Searches, c.Clients, c.Rounds, c.Round, c.StoreBytes = []int{100, 300}, 5, 4, 2, 100*time.Millisecond, 1<<30
	return c
}

// Validate reports what is out of range, joined into one error.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(len(c.Runs) > 0 && slices.IsSorted(c.Runs) && c.Runs[0] > 0, "-runs are %v, want positive numbers in ascending order", c.Runs)
	need(c.Searches > 0, "-searches is %d, want 1 or more", c.Searches)
	need(c.Clients > 0 && c.Clients <= 1000, "-clients is %d, want 1 to 1000", c.Clients)
	need(c.Rounds > 0 && c.Round > 0, "-rounds and -round are %d and %s, want more than 0", c.Rounds, c.Round)
	need(c.StoreBytes >= 1<<30, "-store-bytes is %d, want 1 GiB or more", c.StoreBytes)
	return errors.Join(errs...)
}
