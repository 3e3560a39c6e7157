package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
)

func TestCodeOf(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		want   fault.Code
		status int
	}{
		{"own", fault.New(fault.Denied, "no"), fault.Denied, 403},
		{"own, wrapped", fmt.Errorf("outer: %w", fault.New(fault.NotFound, "no")), fault.NotFound, 404},
		{"own around the bus's", fault.New(fault.Invalid, "store: %w", bus.ErrConflict), fault.Invalid, 400},
		{"lost compare-and-set", fmt.Errorf("append: %w", bus.ErrConflict), fault.Conflict, 409},
		{"time is up", context.DeadlineExceeded, fault.Unavailable, 503},
		{"client went away", context.Canceled, fault.Unavailable, 503},
		{"too large for the bus", bus.Permanent(errors.New("maximum payload")), fault.Invalid, 400},
		{"broken event", fmt.Errorf("x: %w", events.ErrInvalid), fault.Invalid, 400},
		{"no artifact", artifact.ErrNotFound, fault.NotFound, 404},
		{"no room", fmt.Errorf("put: %w: %w", artifact.ErrFull, context.DeadlineExceeded), fault.Exhausted, 507},
		{"a full stream", fmt.Errorf("%w: %w", context.DeadlineExceeded, &jetstream.APIError{Code: 503, ErrorCode: 10077}), fault.Exhausted, 507},
		{"corrupt artifact", artifact.ErrCorrupt, fault.Internal, 500},
		{"anything else", errors.New("connection refused"), fault.Unavailable, 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, fault.CodeOf(tc.err))
			require.Equal(t, tc.status, fault.CodeOf(tc.err).Status())
			require.Equal(t, tc.want, fault.From(tc.err).Code)
			require.Equal(t, tc.err.Error(), fault.From(tc.err).Error())
		})
	}
	require.Empty(t, fault.CodeOf(nil))
	require.Nil(t, fault.From(nil))
}

func TestStatusOfEveryCode(t *testing.T) {
	for code, want := range map[fault.Code]int{
		fault.Invalid: 400, fault.BadRequest: 400, fault.Exists: 400, fault.NotFound: 404, fault.Endpoint: 404, fault.Conflict: 409, fault.Denied: 403,
		fault.Unauthenticated: 401, fault.Unimplemented: 501, fault.Exhausted: 507, fault.Unavailable: 503, fault.Internal: 500, "SOMETHING_NEW": 400,
	} {
		require.Equal(t, want, code.Status(), code)
	}
}

func TestNewKeepsItsCauses(t *testing.T) {
	one := fault.New(fault.Conflict, "promote: %w", bus.ErrConflict)
	require.ErrorIs(t, one, bus.ErrConflict)
	require.Equal(t, "promote: "+bus.ErrConflict.Error(), one.Error())
	two := fault.New(fault.Conflict, "%w, %w", bus.ErrConflict, context.Canceled)
	require.ErrorIs(t, two, bus.ErrConflict)
	require.ErrorIs(t, two, context.Canceled)
	require.NoError(t, fault.New(fault.Invalid, "plain").Unwrap())
}
