package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/app"
)

func startAdmin(t *testing.T, h *app.Health, reg *prometheus.Registry) (admin *app.Admin, stop func() error) {
	t.Helper()
	admin, err := app.NewAdmin(app.AdminConfig{Addr: "127.0.0.1:0", Flag: "--test-addr"}, reg, h, quiet())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- admin.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() { require.NoError(t, stop()) })
	return admin, stop
}

func get(t *testing.T, admin *app.Admin, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + admin.Addr() + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestAdminShowsHealth(t *testing.T) {
	h := app.NewHealth()
	admin, _ := startAdmin(t, h, app.NewRegistry())

	code, body := get(t, admin, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "starting\n", body)

	h.Set("model", false, "no version promoted yet")
	h.Set("store", true, "")
	h.Note("nats", "down")
	code, body = get(t, admin, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "model: no version promoted yet\n", body)
	code, body = get(t, admin, "/health")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.JSONEq(t, `{"status":"unavailable","nats":"down",
		"checks":{"model":{"ok":false,"detail":"no version promoted yet"},"store":{"ok":true}}}`, body)

	h.Set("model", true, "")
	h.Note("version", 3)
	h.Note("nats", nil)
	h.Note("status", "a note can't overwrite it")
	code, body = get(t, admin, "/health")
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"status":"ok","version":3,"checks":{"model":{"ok":true},"store":{"ok":true}}}`, body)
	code, body = get(t, admin, "/readyz")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "ok\n", body)
}

func TestLivenessDoesNotDependOnReadiness(t *testing.T) {
	h := app.NewHealth()
	h.Set("model", false, "")
	admin, _ := startAdmin(t, h, app.NewRegistry())
	code, _ := get(t, admin, "/livez")
	require.Equal(t, http.StatusOK, code)
	require.False(t, h.Ready())
}

func TestHealthEncodesItself(t *testing.T) {
	h := app.NewHealth()
	h.Set("store", true, "s3")
	b, err := json.Marshal(h)
	require.NoError(t, err)
	require.JSONEq(t, `{"status":"ok","checks":{"store":{"ok":true,"detail":"s3"}}}`, string(b))
	h.Note("bad", make(chan int))
	_, err = json.Marshal(h)
	require.ErrorContains(t, err, "encode health")
}

func TestAdminShowsMetricsAndAddedHandlers(t *testing.T) {
	reg := app.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	reg.MustRegister(c)
	c.Add(2)
	admin, _ := startAdmin(t, app.NewHealth(), reg)
	code, body := get(t, admin, "/metrics")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "\nthings_total 2\n")
	require.Contains(t, body, `churn_build_info{version="`+app.Version()+`"} 1`)
	require.Contains(t, body, "go_goroutines")

	admin.Handle("GET /models/{name}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.PathValue("name"))
	}))
	code, body = get(t, admin, "/models/telco-churn")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "telco-churn", body)
	code, _ = get(t, admin, "/nothing")
	require.Equal(t, http.StatusNotFound, code)
}

func TestBusyPortNamesTheFlag(t *testing.T) {
	ln, err := app.Listen("127.0.0.1:0", "--first")
	require.NoError(t, err)
	defer ln.Close()
	addr := ln.Addr().String()

	_, err = app.NewAdmin(app.AdminConfig{Addr: addr, Flag: "--trainer-addr"}, app.NewRegistry(), app.NewHealth(), quiet())
	require.EqualError(t, err, "listen on "+addr+": address in use (set --trainer-addr)")
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	_, err = app.Listen(addr, "")
	require.EqualError(t, err, "listen on "+addr+": address in use")
	_, err = app.Listen("127.0.0.1:http:80", "--addr")
	require.EqualError(t, err, "listen on 127.0.0.1:http:80: address 127.0.0.1:http:80: too many colons in address (set --addr)")
}

func TestServerLetsARequestInFlightEnd(t *testing.T) {
	admin, stop := startAdmin(t, app.NewHealth(), app.NewRegistry())
	entered, release := make(chan struct{}), make(chan struct{})
	admin.Handle("GET /slow", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "answered")
	}))
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + admin.Addr() + "/slow")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	require.Eventually(t, func() bool { // the port is closed first
		c, err := net.Dial("tcp", admin.Addr())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 5*time.Second, time.Millisecond)
	select {
	case err := <-stopped:
		require.Fail(t, "stopped before the request in flight ended", "%v", err)
	default:
	}
	close(release)
	require.Equal(t, "answered", <-answer)
	require.NoError(t, <-stopped)
}

func TestCloseFreesThePortOfAnAdminThatNeverRan(t *testing.T) {
	admin, err := app.NewAdmin(app.AdminConfig{Addr: "127.0.0.1:0"}, app.NewRegistry(), app.NewHealth(), quiet())
	require.NoError(t, err)
	addr := admin.Addr()
	admin.Close()
	admin.Close()
	ln, err := app.Listen(addr, "")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
}

func TestServerReportsALostListener(t *testing.T) {
	ln, err := app.Listen("127.0.0.1:0", "")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	err = app.NewServer(ln, http.NotFoundHandler(), quiet()).Run(t.Context())
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestNewLogger(t *testing.T) {
	var b strings.Builder
	log, err := app.NewLogger(&b, "WARN", "json")
	require.NoError(t, err)
	log.Info("hidden")
	log.Warn("shown", "model", "telco-churn")
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.String()), &line))
	require.Equal(t, "shown", line["msg"])
	require.Equal(t, "telco-churn", line["model"])

	b.Reset()
	log, err = app.NewLogger(&b, "debug", "text")
	require.NoError(t, err)
	log.Debug("shown")
	require.Contains(t, b.String(), "level=DEBUG msg=shown")

	_, err = app.NewLogger(&b, "loud", "text")
	require.EqualError(t, err, `log level "loud": want debug, info, warn or error`)
	_, err = app.NewLogger(&b, "info", "")
	require.EqualError(t, err, `log format "": want text or json`)
}
