package registry

import (
	"context"
	"errors"

	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
)

// Errors of the operations, each within a [*fault.Error] whose code is in parentheses. After each of them the stream is as it was.
var (
	// ErrUnknown (NotFound) is returned for a model, version or alias that is not registered, or was deleted.
	ErrUnknown = errors.New("not found")
	// ErrTaken (Exists) is returned for a name that another model has.
	ErrTaken = errors.New("the name is taken")
	// ErrNotPassed (Invalid) is returned for the promotion of a version that the gates refuse: it was rejected, is not better than Production, or
	// has no verdict yet. An override goes past it.
	ErrNotPassed = errors.New("did not pass the gates")
	// ErrRefuted (Invalid) is returned for a version whose bytes a rollback refuted. An override goes past it.
	ErrRefuted = errors.New("refuted by a rollback")
	// ErrUnservable (Invalid) is returned for the promotion of a version that no instance can serve, in a model with gates. Nothing goes past it.
	ErrUnservable = errors.New("can't be served")
	// ErrReason (Invalid) is returned for an override without a reason.
	ErrReason = errors.New("an override needs a reason")
	// ErrOvertaken (Conflict) is returned if Production changed between the decision and the write, or is not the version that the caller expects.
	ErrOvertaken = errors.New("overtaken by another promotion")
	// ErrNoTarget (Invalid) is returned if there is no version to go back to.
	ErrNoTarget = errors.New("no earlier Production to go back to")
	// ErrNoRollout (Conflict) is returned for the end of a rollout where none runs.
	ErrNoRollout = errors.New("no rollout runs")
	// ErrProtected (Invalid) is returned for a change that would take a model's Production away, or that its spec does not leave open.
	ErrProtected = errors.New("protected")
)

// faultOf gives an error of the plumbing the code that clients decide by. One whose outcome is open, and one of a store that is away, is
// Unavailable: asking again is safe.
func faultOf(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), bus.Unknown(err):
		return &fault.Error{Code: fault.Unavailable, Message: err.Error(), Err: err}
	}
	return fault.From(err)
}
