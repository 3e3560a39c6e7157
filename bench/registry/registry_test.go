package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test's own program be a registry, as the driver starts its own program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-worker" {
		if err := start(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestShort runs all of it at small sizes: the runs that the loader writes are what the API finds.
func TestShort(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, start(t.Context(), []string{"-short"}, nil, &out, t.Output()))
	text := out.String()
	for _, line := range []string{
		"| 100 | ", "| 300 | ", "among 300 runs",
		"| newest first, no filter | 100 |",
		"| all match, ordered by a parameter as text | 100 |",
		"the API: stored and acked", "Ratio ",
	} {
		require.Contains(t, text, line)
	}
	require.NotContains(t, text, "| 0 |", "every query finds some of the runs")
	require.NotContains(t, text, "NaN")
}

func TestArguments(t *testing.T) {
	for _, args := range []string{"-runs x", "-runs 3,2", "-runs 0", "-searches 0", "-clients 0", "-rounds 0", "-round 0s", "-store-bytes 1", "more", "-short -out x"} {
		require.Error(t, start(t.Context(), strings.Fields(args), nil, io.Discard, io.Discard), args)
	}
}

func TestQuantilesTakeTheNearestRank(t *testing.T) {
	var times []time.Duration
	for i := 200; i > 0; i-- {
		times = append(times, time.Duration(i))
	}
	require.Equal(t, latencies{P50: 100, P95: 190, P99: 198, Max: 200}, quantiles(times))
	require.Equal(t, latencies{P50: 7, P95: 7, P99: 7, Max: 7}, quantiles([]time.Duration{7}))
}
