package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDrainingEndsWhenTheServerStops(t *testing.T) {
	ln, err := Listen("127.0.0.1:0", "")
	require.NoError(t, err)
	s := NewServer(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun ")
		_ = http.NewResponseController(w).Flush()
		<-Draining(r.Context()).Done()
		_, _ = io.WriteString(w, "ended")
	}), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	resp, err := http.Get("http://" + s.Addr())
	require.NoError(t, err)
	defer resp.Body.Close()
	began := time.Now()
	stop()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "begun ended", string(body), "the handler ended by itself")
	require.NoError(t, <-done)
	require.Less(t, time.Since(began), DrainTimeout)
	require.NoError(t, Draining(t.Context()).Err(), "a context of no server never drains")
}
