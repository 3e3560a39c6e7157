package app_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/app"
)

// journal records what components did, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// part runs until it is cancelled, then takes `takes` to end with err.
func part(j *journal, name string, takes time.Duration, err error) app.Component {
	return app.Component{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		j.add(name + " told")
		time.Sleep(takes) // fake clock: this is the component's work, not a wait for another
		j.add(name + " ended")
		return err
	}}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestRunStopsInReverseOrderOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var logged strings.Builder
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := app.Run(ctx, slog.New(slog.NewTextHandler(&logged, nil)), time.Minute,
			part(&j, "server", time.Second, nil),
			part(&j, "connection", time.Second, context.Canceled),
			part(&j, "consumer", time.Second, nil))
		require.NoError(t, err)
		require.Equal(t, []string{
			"consumer told", "consumer ended", "connection told", "connection ended", "server told", "server ended",
		}, j.all())
		for _, name := range []string{"consumer", "connection", "server"} {
			require.Contains(t, logged.String(), `msg="component stopped" name=`+name)
		}
	})
}

func TestRunReturnsTheFirstError(t *testing.T) {
	broken, late := errors.New("disk full"), errors.New("late")
	synctest.Test(t, func(t *testing.T) {
		var j journal
		err := app.Run(t.Context(), quiet(), time.Minute,
			part(&j, "server", 0, late),
			app.Component{Name: "writer", Run: func(context.Context) error { return broken }},
			part(&j, "consumer", 0, nil))
		require.ErrorIs(t, err, broken)
		require.EqualError(t, err, "writer: disk full")
		require.Equal(t, []string{"consumer told", "consumer ended", "server told", "server ended"}, j.all())
	})
}

func TestRunReturnsAnErrorOfStopping(t *testing.T) {
	late := errors.New("flush")
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := app.Run(ctx, quiet(), time.Minute, part(&j, "server", 0, nil), part(&j, "log", 0, late))
		require.EqualError(t, err, "log: flush")
	})
}

func TestRunLeavesAHangingComponentBehindAndStopsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		err := app.Run(ctx, quiet(), 8*time.Second,
			part(&j, "server", time.Second, nil),
			app.Component{Name: "stuck", Run: func(context.Context) error { <-release; return nil }})
		require.ErrorIs(t, err, app.ErrStopTimeout)
		require.ErrorContains(t, err, "stuck: ")
		require.Equal(t, []string{"server told", "server ended"}, j.all())
		require.Equal(t, 5*time.Second, time.Since(began), "half of 8 s for the stuck one, 1 s for the server")
		close(release)
	})
}

func TestRunGoesOnWhenAComponentHasFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		began := time.Now()
		err := app.Run(ctx, quiet(), time.Minute, part(&j, "server", 0, nil),
			app.Component{Name: "provision", Run: func(context.Context) error { return nil }})
		require.NoError(t, err)
		require.Equal(t, time.Hour, time.Since(began))
	})
}

func TestRunEndsWhenAllHaveFinished(t *testing.T) {
	done := app.Component{Name: "once", Run: func(context.Context) error { return nil }}
	require.NoError(t, app.Run(t.Context(), quiet(), time.Second, done, done))
	require.NoError(t, app.Run(t.Context(), quiet(), time.Second))
}

func TestRunKeepsTheValuesOfItsContext(t *testing.T) {
	type key struct{}
	var got any
	c := app.Component{Name: "reader", Run: func(ctx context.Context) error { got = ctx.Value(key{}); return nil }}
	require.NoError(t, app.Run(context.WithValue(t.Context(), key{}, "v"), quiet(), 0, c))
	require.Equal(t, "v", got)
}
