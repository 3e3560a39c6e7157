package bus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// made returns the messages of n predictions with ids from first on.
func made(t testing.TB, b *bus.Bus, first, n int) []*nats.Msg {
	t.Helper()
	msgs := make([]*nats.Msg, n)
	for i := range msgs {
		msg, err := b.Msg(events.New("telco", "test", fmt.Sprint(first+i), time.Now(),
			&events.PredictionMade{PredictionID: fmt.Sprint(first + i), Version: 1, Record: json.RawMessage(`{"a":1}`), Score: 0.5, Threshold: 0.5}))
		require.NoError(t, err)
		msgs[i] = msg
	}
	return msgs
}

// publishAll publishes messages in one turn and returns what became of each.
func publishAll(t testing.TB, w *bus.Window, msgs []*nats.Msg) []error {
	t.Helper()
	w.Begin(len(msgs))
	for i, msg := range msgs {
		_ = w.Publish(i, msg) // Err has it
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	w.Wait(ctx)
	errs := make([]error, len(msgs))
	for i := range errs {
		errs[i] = w.Err(i)
	}
	return errs
}

// predictions returns the ids of what is stored, in order.
func predictions(t testing.TB, b *bus.Bus) []string {
	t.Helper()
	var ids []string
	require.NoError(t, b.Read(t.Context(), bus.ReadConfig{Stream: events.Predictions}, func(m bus.Message) error {
		require.NoError(t, m.Err)
		ids = append(ids, m.Event.Payload.(*events.PredictionMade).PredictionID)
		return nil
	}))
	return ids
}

func ids(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(first + i)
	}
	return out
}

func TestWindowStoresInOrderAndOnce(t *testing.T) {
	c := bustest.Start(t).Connect(t)
	w, err := c.NewWindow()
	require.NoError(t, err)
	defer w.Close()
	for _, n := range []int{1, 700} {
		for range 2 { // the second time as duplicates
			for _, err := range publishAll(t, w, made(t, c, 0, n)) {
				require.NoError(t, err)
			}
			require.Equal(t, ids(0, n), predictions(t, c))
		}
	}
}

func TestWindowTellsWhichMessageWasNotStored(t *testing.T) {
	c := bustest.Start(t).Connect(t)
	w, err := c.NewWindow()
	require.NoError(t, err)
	defer w.Close()
	msgs := made(t, c, 0, 4)
	msgs[1].Header.Set(jetstream.ExpectedStreamHeader, "OTHER")
	msgs[2].Subject = "nobody.listens.here"
	msgs[3].Data = make([]byte, c.Conn().MaxPayload()+1)
	errs := publishAll(t, w, msgs)
	require.NoError(t, errs[0])
	var api *jetstream.APIError
	require.ErrorAs(t, errs[1], &api)
	require.ErrorIs(t, errs[2], nats.ErrNoResponders)
	require.ErrorIs(t, errs[3], nats.ErrMaxPayload)
	require.Equal(t, ids(0, 1), predictions(t, c))

	stream, err := c.JetStream().Stream(t.Context(), string(events.Predictions))
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	config.MaxMsgSize = 2000
	_, err = c.JetStream().UpdateStream(t.Context(), config)
	require.NoError(t, err)
	msgs = made(t, c, 4, 2)
	msgs[0].Data = make([]byte, 2001)
	errs = publishAll(t, w, msgs)
	require.True(t, bus.IsPermanent(errs[0]), "%v", errs[0])
	require.NoError(t, errs[1])
}

func TestWindowPassesLateAcksOver(t *testing.T) {
	c := bustest.Start(t).Connect(t)
	w, err := c.NewWindow()
	require.NoError(t, err)
	defer w.Close()
	msgs := made(t, c, 0, 6)
	w.Begin(3)
	for i, msg := range msgs[:3] {
		require.NoError(t, w.Publish(i, msg))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	w.Wait(ended)
	require.NoError(t, c.Conn().Flush()) // the three acks are there

	msgs[4].Subject = "nobody.listens.here"
	errs := publishAll(t, w, msgs[3:])
	require.NoError(t, errs[0])
	require.Error(t, errs[1], "not taken for stored by the ack of another message at its place")
	require.NoError(t, errs[2])
	require.Equal(t, append(ids(0, 4), "5"), predictions(t, c))
}

// cpu returns the processor time that the process, server included, has used.
func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPublish compares ways to publish predictions with their acks, in turns. The figures are processor time per message, of the client and
// the embedded server together.
func BenchmarkPublish(b *testing.B) {
	const batch = 500
	ways := []struct {
		name string
		make func(c *bus.Bus) func([]*nats.Msg)
	}{
		{"futures", func(c *bus.Bus) func([]*nats.Msg) {
			return func(msgs []*nats.Msg) {
				acks := make([]jetstream.PubAckFuture, len(msgs))
				for i, msg := range msgs {
					var err error
					acks[i], err = c.JetStream().PublishMsgAsync(msg)
					require.NoError(b, err)
				}
				for _, ack := range acks {
					<-ack.Ok()
				}
			}
		}},
		{"window", func(c *bus.Bus) func([]*nats.Msg) {
			w, err := c.NewWindow()
			require.NoError(b, err)
			return func(msgs []*nats.Msg) {
				for _, err := range publishAll(b, w, msgs) {
					require.NoError(b, err)
				}
			}
		}},
		{"fast-ingest", func(c *bus.Bus) func([]*nats.Msg) { return fastIngest(b, c) }},
	}
	publish, used := make([]func([]*nats.Msg), len(ways)), make([]time.Duration, len(ways))
	buses := make([]*bus.Bus, len(ways))
	for i, way := range ways {
		buses[i] = bustest.Start(b).Connect(b)
		publish[i] = way.make(buses[i])
	}
	msgs := made(b, buses[0], 0, batch)
	for _, msg := range msgs {
		msg.Data = bytes.Repeat([]byte("x"), 750)
	}
	first := 0
	for b.Loop() {
		for i := range ways {
			for k, msg := range msgs {
				msg.Header.Set(events.HeaderMsgID, fmt.Sprint("prediction.made.v1/telco/", first+k))
			}
			before := cpu(b)
			publish[i](msgs)
			used[i] += cpu(b) - before
		}
		first += batch
	}
	for i, way := range ways {
		b.ReportMetric(float64(used[i].Nanoseconds())/float64(first), way.name+"-cpu-ns/msg")
	}
}

// fastIngest publishes batches that the server acknowledges as one: a message's reply subject names the batch, its place and what it is there
// (0 the first, 1 one more, 2 the last).
func fastIngest(b *testing.B, c *bus.Bus) func([]*nats.Msg) {
	stream, err := c.JetStream().Stream(b.Context(), string(events.Predictions))
	require.NoError(b, err)
	config := stream.CachedInfo().Config
	config.AllowBatchPublish = true
	_, err = c.JetStream().UpdateStream(b.Context(), config)
	require.NoError(b, err)
	inbox := c.Conn().NewInbox()
	replies, err := c.Conn().SubscribeSync(inbox + ".>")
	require.NoError(b, err)
	batch := 0
	return func(msgs []*nats.Msg) {
		batch++
		for i, msg := range msgs {
			op := 1
			switch i {
			case 0:
				op = 0
			case len(msgs) - 1:
				op = 2
			}
			msg.Reply = inbox + ".b" + strconv.Itoa(batch) + ".1000.fail." + strconv.Itoa(i+1) + "." + strconv.Itoa(op) + ".$FI"
			require.NoError(b, c.Conn().PublishMsg(msg))
			msg.Reply = ""
		}
		for {
			reply, err := replies.NextMsg(5 * time.Second)
			require.NoError(b, err)
			if bytes.Contains(reply.Data, []byte(`"count":`+strconv.Itoa(len(msgs)))) {
				return
			}
		}
	}
}
