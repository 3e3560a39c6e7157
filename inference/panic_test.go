package inference

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// nobody is dialled: the service is not run.
func nobody(context.Context) (*bus.Bus, artifact.Store, error) { return nil, nil, errors.New("nobody") }

// unrun returns a service that is not run, and what it logs.
func unrun(t *testing.T) (*Service, *bytes.Buffer) {
	t.Helper()
	c, log := DefaultConfig(), &bytes.Buffer{}
	c.Addr, c.Instance, c.Log = "127.0.0.1:0", "one", slog.New(slog.NewTextHandler(log, nil))
	c.Metrics, c.Health, c.Dial = app.NewRegistry(), app.NewHealth(), nobody
	s, err := New(c)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s, log
}

// internalErrors returns how many requests were counted as our fault.
func internalErrors(t *testing.T, s *Service, route, method string) float64 {
	t.Helper()
	var out dto.Metric
	require.NoError(t, s.metrics.httpRequests.WithLabelValues(route, method, "500").Write(&out))
	return out.GetCounter().GetValue()
}

// TestPanicOfARouteIsAnAnswer has each route panic outside of the engine.
func TestPanicOfARouteIsAnAnswer(t *testing.T) {
	s, log := unrun(t)
	s.routes = adapt(identified(s.recovers(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("our own bug") }))))
	for path, want := range map[string]string{"/health": `{"detail":"internal error"}`, "/v2/models": `{"error":"internal error"}`} {
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, nil, nil)
		ctx.Request.SetRequestURI(path)
		ctx.Request.Header.Set(HeaderRequestID, "order-17")
		s.serveHTTP(&ctx)
		require.Equal(t, http.StatusInternalServerError, ctx.Response.StatusCode())
		require.JSONEq(t, want, string(ctx.Response.Body()))
		require.Equal(t, "order-17", string(ctx.Response.Header.Peek(HeaderRequestID)))
		require.Equal(t, 1.0, internalErrors(t, s, routeLabel(path), http.MethodGet))
	}
	require.Contains(t, log.String(), "request_id=order-17")
	require.Contains(t, log.String(), "panic_test.go", "the stack of the panic")
	s.bodies = nil
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/predict")
	require.Panics(t, func() { s.serveHTTP(&ctx) }, "which the server answers")
	require.Equal(t, 1.0, internalErrors(t, s, routePredict, http.MethodPost))
}

// TestPanicIsAnAnswer puts a predictor into the slot that can only panic, as it has no bundle.
func TestPanicIsAnAnswer(t *testing.T) {
	s, _ := unrun(t)
	s.slot.exchange(&Predictor{})
	r := newAnswer()
	s.answer(&request{body: []byte("{}"), transport: transportNATS}, r)
	require.Equal(t, http.StatusInternalServerError, r.code)
	require.JSONEq(t, `{"detail":"internal error"}`, string(r.body))
}
