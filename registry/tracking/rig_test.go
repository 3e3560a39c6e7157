package tracking_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// patience bounds every wait of a test.
const patience = 20 * time.Second

// within returns a context that ends with the test or after patience.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// start runs a book on a bus until the test ends, or until the returned function is called.
func start(t testing.TB, b *bus.Bus) (*tracking.Book, func()) {
	t.Helper()
	book, err := tracking.New(tracking.Config{Bus: b, Source: "registry/test"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- book.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(stop)
	select {
	case <-book.Ready():
	case <-within(t).Done():
		require.Fail(t, "the book is not ready")
	}
	return book, stop
}

// open starts a server and a book on it.
func open(t testing.TB) (*tracking.Book, *bus.Bus) {
	t.Helper()
	b := bustest.Start(t).Connect(t)
	book, _ := start(t, b)
	return book, b
}

// newRun creates a run in the default experiment.
func newRun(t testing.TB, book *tracking.Book) tracking.Run {
	t.Helper()
	r, err := book.CreateRun(within(t), tracking.NewRun{UserID: "ann", StartTime: 1000})
	require.NoError(t, err)
	return r
}

// refused requires an error with a code, and words in it.
func refused(t testing.TB, err error, code fault.Code, words ...string) {
	t.Helper()
	require.Error(t, err)
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, code, f.Code, "%v", err)
	for _, w := range words {
		require.ErrorContains(t, err, w)
	}
}

func point(key string, value float64, at, step int64) events.MetricPoint {
	return events.MetricPoint{Key: key, Value: events.Number(value), Timestamp: at, Step: step}
}

func pairs(kv ...string) []events.Pair {
	var out []events.Pair
	for i := 0; i < len(kv); i += 2 {
		out = append(out, events.Pair{Key: kv[i], Value: kv[i+1]})
	}
	return out
}
