package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Defaults of Config.
const (
	DefaultData        = "../shared/data/Telco-Customer-Churn.csv"
	DefaultPeers       = "../shared/peers"
	DefaultPython      = "/usr/bin/python3"
	DefaultRounds      = 5
	DefaultRound       = 4 * time.Second
	DefaultConnections = 64
	DefaultRequests    = 10_000_000
	DefaultPromotions  = 100
	DefaultBatchRows   = 2_000_000
	DefaultCustomers   = 7043 // as many as the real file has
)

// Config says what to measure. DefaultConfig makes one; the zero value is not valid.
type Config struct {
	// Bin is the folder with the programs churn and inference; empty stands for that of this program.
	Bin string
	// Data is the real Telco file. Where it is missing, generated customers stand in for it; requests are always of generated customers.
	Data string
	// Peers is the folder of the Python servers, and Python the interpreter that has what they need. Where either is missing their section is
	// left out, and the report says so.
	Peers, Python string
	// Work is the folder for stores and data; empty stands for a temporary one that is removed.
	Work string
	// Rounds is how often each side is measured, 1 to 1000, and Round for how long at a time, more than 0.
	Rounds int
	Round  time.Duration
	// Connections is the number of connections over HTTP and of requests in flight over NATS, 1 to 10,000.
	Connections int
	// Requests is the number over which memory is watched, at least 1,000; Promotions that of promotions during load, at least 1.
	Requests, Promotions int
	// BatchRows is the number of rows of the file that is scored, at least 1,000.
	BatchRows int
	// Customers is the number of generated customers that stand in for the real file, at least 1,000.
	Customers int
	// Short says that the figures are to see that everything works, and no more: none is written to a file.
	Short bool
	// Only names the sections to run; nil stands for all.
	Only []string
	// Out names the Markdown files whose blocks are rewritten.
	Out []string
}

// DefaultConfig returns a run of a quarter of an hour or so, a third of which is that of 10,000,000 requests.
func DefaultConfig() Config {
	return Config{Data: DefaultData, Peers: DefaultPeers, Python: DefaultPython, Rounds: DefaultRounds, Round: DefaultRound, Connections: DefaultConnections,
		Requests: DefaultRequests, Promotions: DefaultPromotions, BatchRows: DefaultBatchRows, Customers: DefaultCustomers}
}

// short returns c with sizes that take less than a minute.
func (c Config) short() Config {
	c.Rounds, c.Round, c.Requests, c.Promotions, c.BatchRows, c.Short = 1, time.Second, 100_000, 3, 200_000, true
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
	need(c.Rounds >= 1 && c.Rounds <= 1000, "-rounds is %d, want 1 to 1000", c.Rounds)
	need(c.Round > 0, "-round is %s, want more than 0", c.Round)
	need(c.Connections >= 1 && c.Connections <= 10_000, "-connections is %d, want 1 to 10000", c.Connections)
	need(c.Requests >= 1000, "-requests is %d, want 1000 or more", c.Requests)
	need(c.Promotions >= 1, "-promotions is %d, want 1 or more", c.Promotions)
	need(c.BatchRows >= 1000, "-batch-rows is %d, want 1000 or more", c.BatchRows)
	need(c.Customers >= 1000, "customers are %d, want 1000 or more", c.Customers)
	for _, name := range c.Only {
		need(slices.Contains(sectionNames(), name), "-only: there is no section %q", name)
	}
	need(len(c.Out) == 0 || !c.Short && c.Only == nil, "-out is for a whole run: it goes with neither -short nor -only")
	return errors.Join(errs...)
}
