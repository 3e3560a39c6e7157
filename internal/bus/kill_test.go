package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

func TestServerKilledAckedMessagesStayAndConsumersGoOn(t *testing.T) {
	t.Parallel()
	p := bustest.StartProcess(t)
	b := p.Connect(t)
	got := make(chan string, 1000)
	consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes, AckWait: time.Second}, func(_ context.Context, m bus.Message) error {
		got <- reason(m)
		return nil
	})
	w := follow(t, b, bus.FollowConfig{}, nil)
	w.expect(t, "caught up")
	n := 0
	for range 3 {
		for range 50 {
			publish(t, b, fmt.Sprint(n))
			n++
		}
		p.Kill(t)
		p.Resume(t)
	}
	publish(t, b, fmt.Sprint(n))
	n++
	last, err := b.LastSequence(testContext(t), events.Causes)
	require.NoError(t, err)
	require.EqualValues(t, n, last, "every acked message is there, once")
	for i := range n {
		w.expect(t, fmt.Sprint(i)) // in order and each once
	}
	seen := make(map[string]bool)
	for len(seen) < n { // at least once
		seen[<-got] = true
	}
}

const envVictim = "BUS_TEST_VICTIM"

// TestVictim is no test of its own: it is the process that TestPoison starts, and that dies of a message.
func TestVictim(t *testing.T) {
	url := os.Getenv(envVictim)
	if url == "" {
		return // run as a part of the package's tests: there is nothing to do here
	}
	b, err := bus.Connect(testContext(t), bus.Config{URL: url, Name: "victim"})
	require.NoError(t, err)
	err = b.Consume(context.Background(), poisonConfig(), func(_ context.Context, m bus.Message) error {
		if reason(m) == "killer" {
			os.Exit(3)
		}
		if reason(m) == "end" {
			os.Exit(0)
		}
		return nil
	})
	require.NoError(t, err)
}

func poisonConfig() bus.ConsumerConfig {
	return bus.ConsumerConfig{Durable: "c", Stream: events.Causes, AckWait: 200 * time.Millisecond, MaxPoison: 4, MaxAckPending: 5}
}

func TestPoisonIsToldFromThoseThatWaitedBehindIt(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	publish(t, b, "before", "killer", "behind")
	exe, err := os.Executable()
	require.NoError(t, err)
	go func() { // the victim that outlives the poison is told to end
		for {
			n := 0
			err := b.DeadLetters(ctx, func(uint64, events.DeadLetter) error { n++; return nil })
			if err != nil || n > 0 {
				_, _ = b.Publish(ctx, requested("telco", "end"))
				return
			}
		}
	}()
	deaths := 0
	for {
		require.Less(t, deaths, 10)
		cmd := exec.CommandContext(ctx, exe, "-test.run=^TestVictim$")
		cmd.Env = append(os.Environ(), envVictim+"="+s.URL())
		out, err := cmd.CombinedOutput()
		if err == nil {
			break
		}
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, string(out))
		require.Equal(t, 3, exit.ExitCode(), string(out))
		deaths++
	}
	// The first two are counted by deliveries, which a slow start may use up two at a time.
	require.Contains(t, []int{3, 4}, deaths, "begun MaxPoison times")
	_, ds := deadLetters(t, b)
	require.Len(t, ds, 1)
	require.Contains(t, ds[0].Reason, "poison")
	require.True(t, strings.Contains(string(ds[0].Data), "killer"))
}

func TestRecordOfASuspectIsRemoved(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "flaky")
	done := make(chan struct{})
	stop := consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes}, func(_ context.Context, m bus.Message) error {
		if m.Deliveries < 5 {
			return bus.RetryAfter(errors.New("away"), time.Millisecond)
		}
		close(done)
		return nil
	})
	<-done
	stop()
	kv, err := b.JetStream().KeyValue(testContext(t), "BUS_SUSPECTS")
	require.NoError(t, err)
	keys, err := kv.ListKeys(testContext(t))
	require.NoError(t, err)
	for k := range keys.Keys() {
		require.Fail(t, "left behind", k)
	}
}
