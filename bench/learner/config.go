package main

import (
	"errors"
	"fmt"
	"slices"
)

// Defaults of Config.
const (
	DefaultData   = "../shared/data/Telco-Customer-Churn.csv"
	DefaultFolds  = "../shared/data/telco-folds.csv"
	DefaultPython = "/usr/bin/python3"
	DefaultRounds = 5
)

// Config says what to measure. DefaultConfig makes one; the zero value is not valid.
type Config struct {
	// Data and Folds are the real Telco file and its folds. Where Data is missing, generated customers stand in for it in what is timed,
	// and scores are not compared.
	Data, Folds string
	// Python is the interpreter that has the peers.
	Python string
	// Work is the folder of generated data; empty stands for a temporary one that is removed.
	Work string
	// Rounds is how often each side runs, at least 1.
	Rounds int
	// Quick takes small sizes and one round.
	Quick bool
	// Huge adds 10,000,000 rows to the scaling, which needs 4 GB of memory, 2 GB of disk and some minutes.
	Huge bool
	// Profiles is a folder for CPU profiles of our side, each of one further run; empty makes none.
	Profiles string
	// Only names the sections to run; nil stands for all.
	Only []string
	// Out names the Markdown files whose blocks are rewritten.
	Out []string
}

// DefaultConfig returns five rounds of every section, with the real file beside the repository and Debian's Python.
func DefaultConfig() Config {
	return Config{Data: DefaultData, Folds: DefaultFolds, Python: DefaultPython, Rounds: DefaultRounds}
}

// Validate reports what is out of range, joined into one error.
func (c Config) Validate() error {
	var errs []error
	if c.Rounds < 1 || c.Rounds > 1000 {
		errs = append(errs, fmt.Errorf("-rounds is %d, want 1 to 1000", c.Rounds))
	}
	for _, name := range c.Only {
		if !slices.Contains(sectionNames(), name) {
			errs = append(errs, fmt.Errorf("-only: there is no section %q", name))
		}
	}
	if len(c.Out) > 0 && (c.Quick || c.Only != nil) {
		errs = append(errs, errors.New("-out is for a whole run: it goes with neither -quick nor -only"))
	}
	return errors.Join(errs...)
}

// sizes are what the sections measure at.
type sizes struct {
	fit, holdout, slow, wide, csv, batch int   // rows
	standIn                              int   // rows of what stands in for the Telco file
	rows                                 []int // of the scaling by rows
	columns                              []int // of the scaling by columns
	trees, telcoTrees                    int
	rounds, scaleRounds                  int
	seconds                              float64 // of one timing of one-row scoring
}

func (c Config) sizes() sizes {
	if c.Quick {
		return sizes{standIn: 7043, fit: 20_000, holdout: 5_000, slow: 2_000, wide: 2_000, csv: 5_000, batch: 2_000, rows: []int{1_000, 10_000}, columns: []int{5, 40},
			trees: 10, telcoTrees: 10, rounds: 1, scaleRounds: 1, seconds: 0.01}
	}
	s := sizes{standIn: 7043, fit: 1_000_000, holdout: 200_000, slow: 100_000, wide: 100_000, csv: 300_000, batch: 100_000, rows: []int{10_000, 100_000, 1_000_000},
		columns: []int{5, 10, 20, 40, 80}, trees: 100, telcoTrees: 150, rounds: c.Rounds, scaleRounds: min(c.Rounds, 3), seconds: 0.3}
	if c.Huge {
		s.rows = append(s.rows, 10_000_000)
	}
	return s
}
