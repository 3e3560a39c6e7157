// Package fault names what can go wrong in a call of the registry, with the codes that MLflow clients decide by. The packages below registry
// return [*Error]; the wire turns it into a status and a body without looking further.
//
// What a client must not repeat (a wrong argument, a lost compare-and-set, a refused gate) never gets a code whose status clients retry by
// themselves (408, 429, 500, 502, 503, 504). What heals without the caller changing anything is [Unavailable].
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// Code is the error_code of the MLflow wire.
type Code string

const (
	Invalid         Code = "INVALID_PARAMETER_VALUE" // an argument, also one that is too large
	BadRequest      Code = "BAD_REQUEST"             // a request that can't be read
	NotFound        Code = "RESOURCE_DOES_NOT_EXIST"
	Exists          Code = "RESOURCE_ALREADY_EXISTS"
	Conflict        Code = "RESOURCE_CONFLICT" // somebody else was first; the message says what is there now
	Denied          Code = "PERMISSION_DENIED"
	Unauthenticated Code = "UNAUTHENTICATED"
	Endpoint        Code = "ENDPOINT_NOT_FOUND"
	Unimplemented   Code = "NOT_IMPLEMENTED"
	Unavailable     Code = "TEMPORARILY_UNAVAILABLE" // the bus or the artifact store is away; the same call may succeed later
	Exhausted       Code = "RESOURCE_EXHAUSTED"      // no room is left for what is to be stored; it heals when somebody makes room
	Internal        Code = "INTERNAL_ERROR"          // a broken invariant of our own
)

// Status returns the HTTP status that goes with the code; 400 for a code that is none of the constants, as in MLflow.
func (c Code) Status() int {
	switch c {
	case NotFound, Endpoint:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Denied:
		return http.StatusForbidden
	case Unauthenticated:
		return http.StatusUnauthorized
	case Unimplemented:
		return http.StatusNotImplemented
	case Exhausted:
		return http.StatusInsufficientStorage
	case Unavailable:
		return http.StatusServiceUnavailable
	case Internal:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// Error is a failure with its code. Message is for people and goes to the client as it is; Err, if set, is the cause, for [errors.Is].
type Error struct {
	Code    Code
	Message string
	Err     error
}

// Error implements error. It is the message alone: a cause that belongs in it was formatted into it.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error with a message made by [fmt.Errorf]: a %w in it sets the cause.
func New(c Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: c, Message: err.Error()}
	if errors.Unwrap(err) != nil || isJoined(err) {
		e.Err = err
	}
	return e
}

// isJoined reports whether err wraps several causes.
func isJoined(err error) bool {
	_, ok := err.(interface{ Unwrap() []error })
	return ok
}

// From returns err as an [*Error]: itself if one is in its chain and says all that err does, else a new one with [CodeOf] its chain. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok {
		return e
	}
	return &Error{Code: CodeOf(err), Message: err.Error(), Err: err}
}

// CodeOf returns the code of the first [*Error] in the chain of err. Of an error without one it says what the plumbing's errors mean: a broken or
// oversized event is Invalid, a lost compare-and-set is Conflict, a missing artifact is NotFound; a context that ended and everything else is Unavailable, since
// what the bus and the stores report is transient unless they say otherwise. A corrupt artifact is Internal. CodeOf(nil) is empty.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, bus.ErrConflict):
		return Conflict
	case errors.Is(err, artifact.ErrFull), bus.Full(err):
		return Exhausted
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), bus.Unknown(err):
		return Unavailable
	case bus.IsPermanent(err), errors.Is(err, events.ErrInvalid), errors.Is(err, artifact.ErrTooLarge), errors.Is(err, artifact.ErrDigest):
		return Invalid
	case errors.Is(err, artifact.ErrNotFound):
		return NotFound
	case errors.Is(err, artifact.ErrCorrupt):
		return Internal
	default:
		return Unavailable
	}
}
