package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
)

// ErrConflict is matched (errors.Is) by the error of an [Bus.Append] that lost: another message took the place. The error itself is a
// [*ConflictError]. Nothing of ours was stored.
var ErrConflict = errors.New("another message was stored first")

// ErrClosed is returned by everything that needs the connection after [Bus.Close].
var ErrClosed = errors.New("bus is closed")

// ErrStreamDiffers is returned by [Bus.Provision] when an existing LIFECYCLE stream lacks a protection; the text names each field.
// Nothing was changed.
var ErrStreamDiffers = errors.New("stream configuration differs")

// ErrNotRetriable is returned by [Bus.RetryDeadLetter] for a letter that must not or cannot be published again; it stays where it is.
var ErrNotRetriable = errors.New("dead letter cannot be retried")

// ErrLeaseLost is the cause ([context.Cause]) of a lease's context that ended because another holder may have taken the key.
var ErrLeaseLost = errors.New("lease lost")

// errSwallowed says that the server took a publish for a duplicate of a message that is not there any more.
var errSwallowed = errors.New("taken for a duplicate of a message that is gone")

// ConflictError says that the subject's last sequence was not the expected one. Last is the subject's last message when this was found out.
type ConflictError struct {
	Expected uint64
	Last     Message
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("append to %s expecting sequence %d, found %d: %s", e.Last.Subject, e.Expected, e.Last.Sequence, ErrConflict.Error())
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no retry can heal: the handler's message goes to the dead letters. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil || IsPermanent(err) {
		return err
	}
	return &permanentError{err}
}

// IsPermanent reports whether err or one that it wraps was marked by [Permanent], or is a broken event ([events.ErrInvalid],
// [events.ErrUnknownType]).
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p) || errors.Is(err, events.ErrInvalid) || errors.Is(err, events.ErrUnknownType)
}

type retryAfterError struct {
	err error
	d   time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter marks a transient error with the delay after which the message should come again, in place of the exponential one. It is for
// what is not there yet and is expected: the try counts as a wait, and is logged for debugging only, however often it is repeated. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, max(d, 0)}
}

// isWait reports whether err was marked by [RetryAfter].
func isWait(err error) bool {
	var after *retryAfterError
	return errors.As(err, &after)
}

type unknownError struct{ err error }

func (e *unknownError) Error() string { return "outcome unknown: " + e.err.Error() }
func (e *unknownError) Unwrap() error { return e.err }

// Unknown reports whether err says that the outcome of a write could not be learned before the context ended: it may be stored or not, now or
// a moment later. The caller reads the stream before it decides anything.
func Unknown(err error) bool {
	var u *unknownError
	return errors.As(err, &u)
}

// Full reports whether err says that the server has no room for the message: of the stream, of its disk or of what it may promise. It heals when
// somebody makes room.
func Full(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeStreamFull || api.ErrorCode == codeNoStorage || api.ErrorCode == codeNoResources)
}

// transient reports whether a call of JetStream may succeed later with nothing changed by us. A broken or refused request is not transient; an
// election, a missing answer, a full store and a server that is starting are.
func transient(err error) bool {
	if errors.Is(err, errNoWinner) {
		return true
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeNoSuitablePeers, codeMemberChange, codeClusterNotAvailable:
			return true
		}
		return api.Code == 503
	}
	switch {
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject),
		errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, ErrConflict):
		return false
	}
	return !IsPermanent(err)
}

// Error codes of the JetStream API that nats.go does not name.
const (
	codeNoSuitablePeers     = 10005
	codeClusterNotAvailable = 10009
	codeNoResources         = 10023
	codeNoStorage           = 10047
	codeStreamFull          = 10077
	codeMemberChange        = 10202
)

// pause waits for d or the end of ctx and reports whether the time passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// backoff returns the delay before try number n (from 1): first, doubled each time, at most limit.
func backoff(n uint64, first, limit time.Duration) time.Duration {
	if n == 0 {
		n = 1
	}
	if n > 30 {
		return limit
	}
	return min(first<<(n-1), limit)
}

// AsConflict returns the [*ConflictError] in err, and false if there is none.
func AsConflict(err error) (*ConflictError, bool) {
	var c *ConflictError
	ok := errors.As(err, &c)
	return c, ok
}
