package inference

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// nobody is dialled: the service is not run.
func nobody(context.Context) (*bus.Bus, artifact.Store, error) { return nil, nil, errors.New("nobody") }

// TestPanicIsAnAnswer puts a predictor into the slot that can only panic, as it has no bundle.
func TestPanicIsAnAnswer(t *testing.T) {
	c := DefaultConfig()
	c.Addr, c.Instance, c.Log = "127.0.0.1:0", "one", slog.New(slog.NewTextHandler(io.Discard, nil))
	c.Metrics, c.Health, c.Dial = app.NewRegistry(), app.NewHealth(), nobody
	s, err := New(c)
	require.NoError(t, err)
	defer s.Close()
	s.slot.exchange(&Predictor{})
	r := newAnswer()
	s.answer(&request{body: []byte("{}"), transport: transportNATS}, r)
	require.Equal(t, http.StatusInternalServerError, r.code)
	require.JSONEq(t, `{"detail":"internal error"}`, string(r.body))
}
