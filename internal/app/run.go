package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// DefaultStopTimeout bounds the stopping of a whole process when Run is given no bound.
const DefaultStopTimeout = 15 * time.Second

// ErrStopTimeout is returned (wrapped, with the component's name) when a component did not end in time after its context was
// cancelled. Its goroutine may still be running; the process should exit.
var ErrStopTimeout = errors.New("not ended in time")

// Component is one part of a process. Name is used in logs and errors. Run blocks until its context ends or it fails; on the
// end of the context it stops what it owns and returns nil or the context's error. Returning nil earlier means that
// its work is finished, which stops nothing else.
type Component struct {
	Name string
	Run  func(ctx context.Context) error
}

// running is a started component. done is closed after err is set.
type running struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Run starts the components in the given order and blocks until ctx ends, one fails, or all have finished. Then it
// stops them in reverse order: each is cancelled only after the one created after it has ended, and each step is logged.
//
// Stopping takes no longer than stopTimeout (DefaultStopTimeout when it is zero or less). One step may use half of the time
// that is left, the last one all of it, so a component that hangs leaves time for those before it; it is reported as
// ErrStopTimeout and left behind.
//
// Run returns the first error, as "name: cause", and nil for a clean stop after ctx ended. A component that returns
// context.Canceled after it was told to stop has stopped cleanly. Starting is concurrent: a component that needs an earlier one
// to be ready gets that from construction or waits for it, not from the order of the list.
func Run(ctx context.Context, log *slog.Logger, stopTimeout time.Duration, cs ...Component) error {
	if stopTimeout <= 0 {
		stopTimeout = DefaultStopTimeout
	}
	ended := make(chan *running, len(cs))
	parts := make([]*running, 0, len(cs))
	for _, c := range cs {
		parts = append(parts, start(ctx, log, c, ended))
	}
	first := wait(ctx, log, ended, len(cs))
	if err := stop(log, stopTimeout, parts); first == nil {
		first = err
	}
	return first
}

// start runs c on a context that keeps the values of ctx but not its end.
func start(ctx context.Context, log *slog.Logger, c Component, ended chan<- *running) *running {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{name: c.Name, cancel: cancel, done: make(chan struct{})}
	log.Debug("component started", "name", c.Name)
	go func() {
		r.err = c.Run(own)
		close(r.done)
		ended <- r
	}()
	return r
}

// wait returns when ctx has ended, all n components have, or one has failed; only in the last case with an error.
func wait(ctx context.Context, log *slog.Logger, ended <-chan *running, n int) error {
	for range n {
		select {
		case <-ctx.Done():
			log.Info("stopping", "cause", context.Cause(ctx).Error())
			return nil
		case r := <-ended:
			if r.err != nil {
				log.Error("component failed", "name", r.name, "err", r.err)
				return fmt.Errorf("%s: %w", r.name, r.err)
			}
			log.Debug("component finished", "name", r.name)
		}
	}
	return nil
}

// stop cancels and awaits the parts from the last to the first and returns the first error met.
func stop(log *slog.Logger, timeout time.Duration, parts []*running) error {
	var first error
	deadline := time.Now().Add(timeout)
	for i := len(parts) - 1; i >= 0; i-- {
		r, left := parts[i], time.Until(deadline)
		if i > 0 {
			left /= 2
		}
		if err := stopOne(log, r, left); err != nil && first == nil {
			first = fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return first
}

func stopOne(log *slog.Logger, r *running, limit time.Duration) error {
	select {
	case <-r.done:
		r.cancel()
		return stopError(log, r)
	default:
	}
	log.Info("stopping component", "name", r.name)
	began := time.Now()
	r.cancel()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.done:
		log.Info("component stopped", "name", r.name, "took", time.Since(began).Round(time.Millisecond).String())
		return stopError(log, r)
	case <-timer.C:
		log.Error("component left behind", "name", r.name, "waited", limit.Round(time.Millisecond).String())
		return fmt.Errorf("stop after %s: %w", limit.Round(time.Millisecond), ErrStopTimeout)
	}
}

// stopError is the error of an ended component, nil for the end it was asked for.
func stopError(log *slog.Logger, r *running) error {
	if r.err == nil || errors.Is(r.err, context.Canceled) {
		return nil
	}
	log.Warn("component ended with an error", "name", r.name, "err", r.err)
	return r.err
}
