package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProbe(t *testing.T) {
	h := NewHealth()
	h.Set("store", false, "no answer")
	mux := http.NewServeMux()
	h.Mount(mux)
	mux.Handle("/elsewhere", http.RedirectHandler("/livez", http.StatusFound))
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	srv := httptest.NewServer(mux)
	defer srv.Close()

	require.NoError(t, Probe(t.Context(), srv.URL+"/livez"))
	require.ErrorContains(t, Probe(t.Context(), srv.URL+"/readyz"), "503 Service Unavailable: store: no answer")
	h.Set("store", true, "")
	require.NoError(t, Probe(t.Context(), srv.URL+"/readyz"))
	require.ErrorContains(t, Probe(t.Context(), srv.URL+"/elsewhere"), "302 Found", "what answers elsewhere is not the service")

	secure := httptest.NewTLSServer(mux)
	defer secure.Close()
	require.NoError(t, Probe(t.Context(), secure.URL+"/livez"))

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, Probe(ctx, srv.URL+"/slow"), context.DeadlineExceeded)
	srv.Close()
	require.ErrorContains(t, Probe(t.Context(), srv.URL+"/livez"), "connection refused")
	require.ErrorContains(t, Probe(t.Context(), "127.0.0.1:80"), "probe: ")
}
