package inference

import (
	"context"
	"log/slog"
	"time"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

const (
	dialPauseMin = 200 * time.Millisecond
	dialPauseMax = 10 * time.Second
)

// link is the connection that the other parts wait for. HTTP does not.
type link struct {
	dial  func(context.Context) (*bus.Bus, artifact.Store, error)
	log   *slog.Logger
	ready chan struct{} // closed once bus and store are set
	bus   *bus.Bus
	store artifact.Store
}

func newLink(c Config) *link {
	l := &link{dial: c.Dial, log: c.Log, ready: make(chan struct{})}
	if l.dial == nil {
		l.dial = func(context.Context) (*bus.Bus, artifact.Store, error) { return c.Bus, c.Store, nil }
	}
	return l
}

// run dials until it succeeds or ctx ends, and then waits for the end of ctx.
func (l *link) run(ctx context.Context) error {
	pause := dialPauseMin
	for {
		b, store, err := l.dial(ctx)
		if err == nil {
			l.bus, l.store = b, store
			close(l.ready)
			<-ctx.Done()
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		l.log.Error("no connection yet", "err", err, "retry_in", pause.String())
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, dialPauseMax)
	}
}

// wait returns the bus and the store once they are there, or the context's error.
func (l *link) wait(ctx context.Context) (*bus.Bus, artifact.Store, error) {
	select {
	case <-l.ready:
		return l.bus, l.store, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// up reports whether NATS is connected now.
func (l *link) up() bool {
	select {
	case <-l.ready:
		return l.bus.Connected()
	default:
		return false
	}
}

// sleep pauses and reports true, or false as soon as ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
