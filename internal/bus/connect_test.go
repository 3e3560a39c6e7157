package bus_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/internal/bus/embedded"
)

func TestLoginAndRefusal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server     func(*embedded.Config)
		good, evil bus.Config
	}{
		"user and password": {func(c *embedded.Config) { c.User, c.Password = "u", "secret-p" },
			bus.Config{User: "u", Password: "secret-p"}, bus.Config{User: "u", Password: "secret-wrong"}},
		"token": {func(c *embedded.Config) { c.Token = "secret-t" }, bus.Config{Token: "secret-t"}, bus.Config{Token: "secret-wrong"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := bustest.Start(t, bustest.WithConfig(c.server))
			var log bytes.Buffer
			c.good.URL, c.evil.URL = s.URL(), s.URL()
			c.good.StoreBytes = s.StoreBytes()
			c.good.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c.evil.Log = c.good.Log
			b, err := bus.Connect(testContext(t), c.good)
			require.NoError(t, err)
			require.NoError(t, b.Provision(testContext(t)))
			require.NoError(t, b.Close(testContext(t)))
			_, err = bus.Connect(testContext(t), c.evil)
			require.ErrorIs(t, err, nats.ErrAuthorization, "refused at once, not after a timeout")
			require.NotContains(t, log.String()+err.Error(), "secret")
			in := c.good
			in.URL, in.InProcess = "", s.InProcess()
			b, err = bus.Connect(testContext(t), in)
			require.NoError(t, err)
			require.NoError(t, b.Provision(testContext(t)))
			require.NoError(t, b.Close(testContext(t)))
		})
	}
}

func TestConnectWaitsForTheServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)

	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	var log bytes.Buffer
	_, err = bus.Connect(short, bus.Config{URL: fmt.Sprintf("nats://who:secret@127.0.0.1:%d", port), TellEvery: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.ErrorContains(t, err, "connect to NATS")
	require.Contains(t, log.String(), fmt.Sprintf(`level=WARN msg="no connection to NATS yet" component=bus url=127.0.0.1:%d`, port))
	require.NotContains(t, log.String(), "secret")

	got := make(chan error, 1)
	go func() {
		b, err := bus.Connect(testContext(t), bus.Config{URL: url})
		if err == nil {
			err = b.Close(testContext(t))
		}
		got <- err
	}()
	bustest.Start(t, bustest.WithConfig(func(c *embedded.Config) { c.Port = port }))
	require.NoError(t, <-got)
}

func TestReconnectHooksMetricsAndClose(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	reg := prometheus.NewRegistry()
	b := s.Dial(t, bus.Config{Name: "a", Metrics: reg})
	s.Dial(t, bus.Config{Name: "b", Metrics: reg}) // shares the metrics
	calls, removed := make(chan struct{}, 10), make(chan struct{}, 10)
	b.OnReconnect(func() { calls <- struct{}{} })
	b.OnReconnect(func() { removed <- struct{}{} })()
	s.Restart(t)
	<-calls
	require.Empty(t, removed)
	require.True(t, b.Connected())
	families, err := reg.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, families)
	require.NoError(t, b.Close(testContext(t)))
	require.NoError(t, b.Close(testContext(t)))
	require.False(t, b.Connected())
	_, err = b.Publish(testContext(t), requested("telco", "a"))
	require.Error(t, err, "a closed bus fails at once")
	require.ErrorIs(t, b.Follow(testContext(t), bus.FollowConfig{Name: "f", Stream: "CAUSES"}, nil), bus.ErrClosed)
	require.ErrorIs(t, b.Consume(testContext(t), bus.ConsumerConfig{Durable: "c", Stream: "CAUSES"}, nil), bus.ErrClosed)
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for says, c := range map[string]bus.Config{
		"URL or InProcess is required": {},
		"Replicas":                     {URL: "x", Replicas: 9},
		"StoreBytes":                   {URL: "x", StoreBytes: -1},
		"PredictionsMaxAge":            {URL: "x", PredictionsMaxAge: -1},
	} {
		_, err := bus.Connect(testContext(t), c)
		require.ErrorContains(t, err, says)
	}
}

func TestAsyncPublishesWithoutAnAckAreGivenUp(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	sub, err := b.Conn().SubscribeSync("nobody.answers") // a stream without a leader: there is interest, and no ack
	require.NoError(t, err)
	var last jetstream.PubAckFuture
	for {
		f, err := b.JetStream().PublishAsync("nobody.answers", nil)
		if err != nil {
			require.ErrorIs(t, err, jetstream.ErrTooManyStalledMsgs)
			break
		}
		last = f
	}
	select {
	case err := <-last.Err():
		require.ErrorIs(t, err, jetstream.ErrAsyncPublishTimeout)
	case <-ctx.Done():
		require.Fail(t, "held for ever")
	}
	require.NoError(t, sub.Unsubscribe())
	bustest.Eventually(t, func() bool { return b.JetStream().PublishAsyncPending() == 0 }, "nothing is held")
	msg, err := b.Msg(requested("telco", "a"))
	require.NoError(t, err)
	f, err := b.JetStream().PublishMsgAsync(msg)
	require.NoError(t, err)
	select {
	case <-f.Ok():
	case err := <-f.Err():
		require.NoError(t, err)
	case <-ctx.Done():
		require.Fail(t, "no ack")
	}
}

// TestHeadersThatAreNoneAreLoggedOnceInAWhile sends them as fast as a client can.
func TestHeadersThatAreNoneAreLoggedOnceInAWhile(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	var log bytes.Buffer
	b, err := bus.Connect(testContext(t), bus.Config{URL: s.URL(), StoreBytes: s.StoreBytes(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	sub, err := b.Conn().SubscribeSync("x")
	require.NoError(t, err)
	require.NoError(t, b.Conn().Flush())
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "nats://"))
	require.NoError(t, err)
	defer conn.Close()
	const header = "NATS/1.0\r\nnone\r\n\r\n"
	_, err = fmt.Fprintf(conn, "CONNECT {\"headers\":true,\"verbose\":false}\r\n%s",
		strings.Repeat(fmt.Sprintf("HPUB x %d %d\r\n%s\r\n", len(header), len(header), header), 20))
	require.NoError(t, err)
	for range 20 {
		_, err := sub.NextMsg(5 * time.Second)
		require.NoError(t, err)
	}
	require.NoError(t, b.Close(testContext(t))) // after what the connection had to report
	require.Equal(t, 1, strings.Count(log.String(), "could not decode headers"), log.String())
}
