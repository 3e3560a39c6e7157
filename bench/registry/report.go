package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/bench/measure"
)

// report returns what was measured as Markdown.
func (s *suite) report(host string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "On %s.\n\n", host)
	fmt.Fprintf(&b, "| runs | in TRACKING | fold at start-up | live heap | peak memory | first page, p50 | p95 | p99 | others |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, st := range s.steps {
		worst := st.slowest()
		fmt.Fprintf(&b, "| %s | %s | %.2f s | %s | %s | %s | %s | %s | %.0f %% |\n", measure.Thousands(st.runs), mebibytes(st.stored), st.FoldSeconds, mebibytes(st.HeapBytes), mebibytes(st.PeakBytes),
			milliseconds(worst.P50), milliseconds(worst.P95), milliseconds(worst.P99), 100*st.others)
	}
	last := s.steps[len(s.steps)-1]
	if first := s.steps[0]; last.runs > first.runs {
		per := func(from, to float64) float64 { return (to - from) / float64(last.runs-first.runs) }
		fmt.Fprintf(&b, "\nFrom the first to the last line each further run costs %.0f bytes of the stream, %.0f bytes of heap and %.1f µs of the fold. The page is that of the slowest query of 100 runs below.\n",
			per(float64(first.stored), float64(last.stored)), per(float64(first.HeapBytes), float64(last.HeapBytes)), 1e6*per(first.FoldSeconds, last.FoldSeconds))
	}
	for _, st := range s.steps {
		fmt.Fprintf(&b, "\n| search among %s runs | on the page | p50 | p95 | p99 | greatest |\n|---|---:|---:|---:|---:|---:|\n", measure.Thousands(st.runs))
		for _, q := range st.searches {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", q.what, measure.Thousands(q.page), milliseconds(q.P50), milliseconds(q.P95), milliseconds(q.P99), milliseconds(q.Max))
		}
	}
	d := s.duel
	fmt.Fprintf(&b, "\n| log-batch of 10 metrics, %d clients, %s runs stored, rounds of %s | calls a second | p50 | p95 | p99 |\n|---|---:|---:|---:|---:|\n", s.config.Clients, measure.Thousands(d.runs), s.config.Round)
	for _, side := range []struct {
		name string
		rate
	}{{"the API: stored and acked", d.api}, {"a handler that only reads the body", d.empty}} {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", side.name, measure.Thousands(int(side.perSecond)), milliseconds(side.P50), milliseconds(side.P95), milliseconds(side.P99))
	}
	fmt.Fprintf(&b, "\nRatio %.2f (rounds %.2f to %.2f); other programs had %.0f %% of the processors meanwhile.\n", d.ratio, d.low, d.high, 100*d.others)
	return b.String()
}

// slowest returns the query of 100 runs with the greatest p95.
func (st step) slowest() (worst latencies) {
	for _, q := range st.searches {
		if q.request["max_results"] == 100 && q.P95 > worst.P95 {
			worst = q.latencies
		}
	}
	return worst
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) + " ms"
}

func mebibytes[N int64 | uint64](n N) string { return measure.Thousands(n>>20) + " MiB" }
