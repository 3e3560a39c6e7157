package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
)

// TestMain lets the test's own program be a worker, as the driver starts its own program again, and the instance under test, under the name that this has.
func TestMain(m *testing.M) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	switch {
	case filepath.Base(os.Args[0]) == "inference":
		fail(standIn(os.Args[1:]))
	case len(os.Args) > 1 && os.Args[1] == "-worker":
		fail(start(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	default:
		os.Exit(m.Run())
	}
}

// standIn is the service behind as many of the flags as the driver sets.
func standIn(args []string) error {
	c := inference.DefaultConfig()
	flags := flag.NewFlagSet("inference", flag.ContinueOnError)
	url := flags.String("nats", "", "")
	flags.StringVar(&c.Addr, "addr", "", "")
	flags.StringVar(&c.Instance, "instance", "", "")
	flags.StringVar(&c.CacheDir, "cache-dir", "", "")
	size := flags.Int64("store-bytes", 0, "")
	flags.String("log-format", "", "")
	logging := flags.String("prediction-log", "on", "")
	if len(args) > 0 && args[0] == "--help" {
		fmt.Println("--prediction-log")
		return nil
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	c.PredictionLog = *logging == "on"
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c.Log, c.Metrics, c.Health = slog.New(slog.NewJSONHandler(os.Stderr, nil)), app.NewRegistry(), app.NewHealth()
	c.Dial = func(ctx context.Context) (*bus.Bus, artifact.Store, error) {
		b, err := bus.Connect(ctx, bus.Config{URL: *url, Name: "inference", StoreBytes: *size})
		if err != nil {
			return nil, nil, err
		}
		store, err := objstore.Open(ctx, b.JetStream(), objstore.Config{MaxBytes: bus.ArtifactMaxBytes(*size), Replicas: 1})
		return b, store, err
	}
	s, err := inference.New(c)
	if err != nil {
		return err
	}
	c.Log.Info("serving", "addr", s.Addr())
	return s.Run(ctx)
}

// TestShort runs all but the Python servers at small sizes.
func TestShort(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	c := DefaultConfig()
	c.Bin, c.Work, c.Data, c.Peers = t.TempDir(), t.TempDir(), "missing.csv", "missing"
	c.Rounds, c.Round, c.Connections, c.Requests, c.Promotions, c.BatchRows, c.Customers, c.Short = 1, 100*time.Millisecond, 4, 1000, 1, 1000, 1200, true
	require.NoError(t, os.Symlink(self, filepath.Join(c.Bin, "inference")))
	var out strings.Builder
	require.NoError(t, drive(t.Context(), c, &out, t.Output()))
	text := out.String()
	for _, want := range []string{
		"| One record in process, decoded JSON to encoded answer, prediction log off | ", "| Allocations of it | ",
		"| Scoring alone, 100 trees of depth 3, one row after another: time a row | ",
		"| HTTP /predict, 4 connections, prediction log on: requests a second | ", "| net/http, reads and answers | ", "| fasthttp, reads and answers | ",
		"| HTTP /predict, prediction log on: predictions dropped | 0 | ",
		"| HTTP /predict, 4 connections, prediction log off: requests a second | ", "| ours, prediction log off | ",
		"| NATS predict.<model>, 4 in flight, prediction log on: requests a second | ", "| NATS predict.<model>, 4 in flight, prediction log off: requests a second | ",
		"| micro, answers | ", "| micro, answers with headers | ",
		"| Memory over 1,000 requests: growth over the last four fifths | ", "| Requests that failed meanwhile | 0 | ",
		"| 1 promotions under full load: failed, hanging (over 1 s) | 0, ",
		"| Batch scoring, CSV file to file, 1 threads: rows a second a core | ", "| CSV file to CSV file, 1 threads | ",
		"The Python servers are not there (missing)", "The real Telco file is not there (missing.csv)",
	} {
		require.Contains(t, text, want)
	}
	for _, unwanted := range []string{"NaN", "Inf", "| 0 to 0 |"} {
		require.NotContains(t, text, unwanted)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range []string{"-rounds 0", "-rounds x", "-round 0s", "-connections 0", "-requests 1", "-promotions 0", "-batch-rows 1", "-only nothing", "more", "-short -out x",
		"-only http -out x", "-worker {", "-worker {}"} {
		require.Error(t, start(t.Context(), strings.Fields(args), nil, io.Discard, io.Discard), args)
	}
}

func TestHistogram(t *testing.T) {
	for _, d := range []time.Duration{0, 63, 64, 2047, 2048, 2111, 2112, time.Microsecond, time.Millisecond, 123456789, time.Minute} {
		i := bucketOf(d)
		require.LessOrEqual(t, d, bucketTime(i), "%d", d)
		require.LessOrEqual(t, float64(bucketTime(i)), float64(d)*(1+1.0/32)+64, "%d", d)
		if i > 0 {
			require.Greater(t, d, bucketTime(i-1), "%d", d)
		}
	}
	require.Equal(t, bucketCount-1, bucketOf(24*time.Hour))
	require.Equal(t, 0, bucketOf(-1))

	var h histogram
	for i := range 100 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	var c counts
	c.plus(&h)
	require.EqualValues(t, 100, c.total())
	for share, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		require.InEpsilon(t, want, c.quantile(share), 1.0/31, "%v", share)
	}
	require.EqualValues(t, 0, c.over(time.Second))
	require.InDelta(t, 50, c.over(50*time.Millisecond), 2)
	require.Zero(t, (&counts{}).quantile(0.5))
}

func TestAroundSwaps(t *testing.T) {
	l := load{Wall: 10 * time.Second, Swaps: []time.Duration{3 * time.Second, 6 * time.Second}}
	for i := range 100 { // quiet is 1 ms; the second around 3 s is 2 ms, around 6 s 4 ms
		took := time.Millisecond
		switch {
		case i >= 25 && i < 35:
			took = 2 * time.Millisecond
		case i >= 55 && i < 65:
			took = 4 * time.Millisecond
		}
		l.Slots = append(l.Slots, slot{bucketOf(took): 10})
	}
	still, swapped, worst := l.aroundSwaps()
	require.Equal(t, bucketTime(bucketOf(time.Millisecond)), still)
	require.Equal(t, bucketTime(bucketOf(4*time.Millisecond)), swapped)
	require.Equal(t, swapped, worst)
}

func TestRecorderSeesExchanges(t *testing.T) {
	r := newRecorder(task{Requests: 5}, true)
	for _, version := range []int64{3, 3, 4, 3, 5} { // the fourth was begun before the exchange
		require.True(t, r.more(task{}))
		r.answered(time.Now(), version)
	}
	require.False(t, r.more(task{}), "no more are due")
	r.fail(io.ErrUnexpectedEOF)
	r.fail(io.EOF)
	l := r.load()
	require.Equal(t, 5, l.Requests)
	require.Len(t, l.Swaps, 2)
	require.Equal(t, 2, l.Failed)
	require.Equal(t, io.ErrUnexpectedEOF.Error(), l.First)
	var n uint64
	for _, s := range l.Slots {
		for _, v := range s {
			n += v
		}
	}
	require.EqualValues(t, 5, n)
}

func TestReadAnswer(t *testing.T) {
	read := func(text string) (int64, error) { return readAnswer(bufio.NewReader(strings.NewReader(text))) }
	version, err := read("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nMODEL-VERSION: 7\r\n\r\n{}")
	require.NoError(t, err)
	require.EqualValues(t, 7, version)
	for _, text := range []string{"", "HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Le"} {
		_, err := read(text)
		require.Error(t, err, text)
	}
}

func TestLine(t *testing.T) {
	resident := func(s sample) float64 { return s.resident }
	slope, begin := line([]sample{{answers: 0, resident: 5}, {answers: 1, resident: 7}, {answers: 2, resident: 9}}, resident)
	require.InDelta(t, 2, slope, 1e-12)
	require.InDelta(t, 5, begin, 1e-12)
	slope, begin = line([]sample{{answers: 3, resident: 4}}, resident)
	require.Zero(t, slope)
	require.InDelta(t, 4, begin, 1e-12)
}

func TestGoals(t *testing.T) {
	ratio := func(v float64) measure.Figures { return measure.Figures{Median: v, N: 1} }
	for _, tc := range []struct {
		f    finding
		want bool
	}{
		{finding{ratio: ratio(0.6), goal: goal{text: "x", least: 0.6}}, true},
		{finding{ratio: ratio(0.59), goal: goal{text: "x", least: 0.6}}, false},
		{finding{ratio: ratio(2), goal: goal{text: "x", most: 2}}, true},
		{finding{ratio: ratio(2.1), goal: goal{text: "x", most: 2}}, false},
		{finding{value: 0, goal: goal{text: "x", ofValue: true}}, true},
		{finding{value: 1, goal: goal{text: "x", ofValue: true}}, false},
	} {
		require.Equal(t, tc.want, tc.f.met(), "%+v", tc.f)
		require.Equal(t, !tc.want, strings.Contains(tc.f.verdict(), "missed"))
	}
	require.Empty(t, finding{}.verdict())
	require.Contains(t, finding{others: 0.2, goal: goal{text: "x", least: 1}}.verdict(), "20 %")
}

func TestSumOf(t *testing.T) {
	require.Equal(t, 5.5, sumOf("# HELP a b\na{x=\"1\"} 2\na{x=\"} 2\"} 3.5\nab 7\na_total 9\n", "a"))
}
