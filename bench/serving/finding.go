package main

import (
	"fmt"
	"strconv"
	"time"

	"telco-churn-mlops/bench/measure"
)

// finding is one line of the main table.
type finding struct {
	what string
	// ours is our figure and beside what it is held against, with its own; both are texts with units.
	ours, beside string
	// ratio is ours over the other's, round by round; N is 0 where there is none.
	ratio measure.Figures
	goal  goal
	// value is what the goal bounds where it is not the ratio.
	value float64
	// others is the greatest share of the processors that other programs had meanwhile.
	others float64
}

// goal is what a finding ought to reach. The zero value is none.
type goal struct {
	text string
	// least and most bound the ratio, or the value where ofValue is set; 0 is no bound unless ofValue is set, where most counts always.
	least, most float64
	ofValue     bool
}

// noisy is the share of the processors had by others above which a figure may be far off.
const noisy = 0.1

// met reports whether the goal was reached.
func (f finding) met() bool {
	have := f.ratio.Median
	if f.goal.ofValue {
		return f.value <= f.goal.most && f.value >= f.goal.least
	}
	return (f.goal.least == 0 || have >= f.goal.least) && (f.goal.most == 0 || have <= f.goal.most)
}

// verdict says whether the goal was reached, with the goal; empty without one.
func (f finding) verdict() string {
	if f.goal.text == "" {
		return ""
	}
	noise := ""
	if f.others > noisy {
		noise = fmt.Sprintf(" (others had %.0f %% of the processors)", 100*f.others)
	}
	if f.met() {
		return f.goal.text + ": met" + noise
	}
	return "**" + f.goal.text + ": missed**" + noise
}

// line is the finding as a line of the main table.
func (f finding) line() string {
	ratio := ""
	if f.ratio.N > 0 {
		ratio = times(f.ratio.Median)
		if f.ratio.N > 1 {
			ratio += fmt.Sprintf(" (%s to %s)", times(f.ratio.Min), times(f.ratio.Max))
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", f.what, f.ours, f.beside, ratio, f.verdict())
}

// times writes a ratio so that a small one still has digits and a large one has no more than it needs.
func times(ratio float64) string {
	switch {
	case ratio < 0.1:
		return strconv.FormatFloat(ratio, 'f', 4, 64)
	case ratio < 10:
		return strconv.FormatFloat(ratio, 'f', 2, 64)
	}
	return strconv.FormatFloat(ratio, 'f', 0, 64)
}

// micros writes a time in microseconds or, above ten thousand, in milliseconds.
func micros(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(float64(d.Nanoseconds())/1000, 'f', 1, 64) + " µs"
}

// mebibytes writes a size.
func mebibytes(n float64) string { return strconv.FormatFloat(n/(1<<20), 'f', 1, 64) + " MiB" }
