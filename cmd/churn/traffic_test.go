package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

func TestParseShift(t *testing.T) {
	for _, c := range []struct {
		text string
		want shift
		err  string
	}{
		{text: "MonthlyCharges=*1.3", want: shift{"MonthlyCharges", 1.3, 0}},
		{text: "tenure=+10", want: shift{"tenure", 1, 10}},
		{text: "tenure=-10.5", want: shift{"tenure", 1, -10.5}},
		{text: "tenure=*-1e2", want: shift{"tenure", -100, 0}},
		{text: "a = b=*2", want: shift{"a = b", 2, 0}},
		{text: "tenure", err: "want COLUMN=*FACTOR"},
		{text: "tenure=", err: "want COLUMN=*FACTOR"},
		{text: "tenure=*", err: "want COLUMN=*FACTOR"},
		{text: "=*2", err: "want COLUMN=*FACTOR"},
		{text: "", err: "want COLUMN=*FACTOR"},
		{text: "tenure=12", err: "must begin with"},
		{text: "tenure=*much", err: `"much" is not a finite number`},
		{text: "tenure=*NaN", err: "not a finite number"},
		{text: "tenure=+Inf", err: "not a finite number"},
	} {
		t.Run(c.text, func(t *testing.T) {
			got, err := parseShift(c.text)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestShifterChangesNumbersAndLeavesGaps(t *testing.T) {
	sch, err := dataset.NewSchema(spec.Telco())
	require.NoError(t, err)
	f, err := newShifter(sch, []shift{{"MonthlyCharges", 1.5, 0}, {"tenure", 1, -2}, {"MonthlyCharges", 1, 1}, {"TotalCharges", 2, 0}})
	require.NoError(t, err)
	row := sch.NewRow()
	at := map[string]int{}
	for i, name := range sch.Numeric() {
		at[name] = i
	}
	row.Num[at["MonthlyCharges"]], row.Num[at["tenure"]], row.Num[at["TotalCharges"]] = 20, 5, math.NaN()
	f.apply(row)
	require.Equal(t, 31.0, row.Num[at["MonthlyCharges"]], "two changes of a column, in their order")
	require.Equal(t, 3.0, row.Num[at["tenure"]])
	require.True(t, math.IsNaN(row.Num[at["TotalCharges"]]))

	_, err = newShifter(sch, []shift{{"Contract", 1.5, 0}})
	require.ErrorContains(t, err, "no such numeric column (it has tenure")
}

// requests returns a source of n requests, numbered in their record.
func requests(n int) func() (customer, bool) {
	i := 0
	return func() (customer, bool) {
		i++
		return customer{record: fmt.Append(nil, i), outcome: "Yes"}, i <= n
	}
}

func TestTrafficCounts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch string(body) {
		case "3", "4":
			http.Error(w, "no such column", http.StatusUnprocessableEntity)
		case "5":
			fmt.Fprint(w, "{")
		case "6":
			fmt.Fprint(w, `{"version":1}`)
		default:
			fmt.Fprintf(w, `{"prediction_id":"p%s","version":2}`, body)
		}
	}))
	defer server.Close()
	tr := newTraffic(server.URL, "m", 1000, nil)
	var mu sync.Mutex
	versions := map[int]int{}
	tr.onAnswer = func(version int, _ time.Time) {
		mu.Lock()
		defer mu.Unlock()
		versions[version]++
	}
	require.NoError(t, tr.send(t.Context(), requests(20)))
	require.EqualValues(t, 20, tr.sent.Load())
	require.EqualValues(t, 16, tr.answered.Load())
	require.EqualValues(t, 4, tr.failed.Load())
	require.EqualValues(t, 0, tr.labelled.Load(), "there is no bus to send them to")
	require.Equal(t, map[int]int{2: 16}, versions)
	report := tr.report()
	require.Len(t, report, 3)
	require.Equal(t, "2 x HTTP 422: no such column", report[0], "the most frequent first")
}

// TestTrafficIsAnOpenLoop has a server that answers nobody until many requests are under way: a loop that waited for answers would stand still.
func TestTrafficIsAnOpenLoop(t *testing.T) {
	const many = 30
	var inside atomic.Int64
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if inside.Add(1) == many {
			close(release)
		}
		<-release
		fmt.Fprint(w, `{"prediction_id":"p","version":1}`)
	}))
	defer server.Close()
	tr := newTraffic(server.URL, "m", 500, nil)
	require.NoError(t, tr.send(t.Context(), requests(many+10)))
	require.EqualValues(t, many+10, tr.answered.Load())
}

func TestTrafficKeepsItsRate(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"prediction_id":"p","version":1}`)
	}))
	defer server.Close()
	tr := newTraffic(server.URL, "m", 200, nil)
	began := time.Now()
	require.NoError(t, tr.send(t.Context(), requests(41)))
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond, "the 41st is due 200 ms after the first")
}

func TestTrafficStopsWhileTheServerHangs(t *testing.T) {
	var inside atomic.Int64
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inside.Add(1)
		<-release
		fmt.Fprint(w, `{"prediction_id":"p","version":1}`)
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	tr := newTraffic(server.URL, "m", 10000, nil)
	ended := make(chan error, 1)
	go func() { ended <- tr.send(ctx, requests(1000)) }()
	bustest.Eventually(t, func() bool { return inside.Load() == 64 }, "64 requests in flight")
	cancel()
	close(release)
	require.ErrorIs(t, <-ended, context.Canceled)
	require.EqualValues(t, 64, tr.sent.Load(), "no more than 64 are in flight, and none follows the end")
	require.EqualValues(t, 64, tr.answered.Load(), "those under way are waited for")
}
