package registry

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
)

// promotionRounds is how often sixteen promote at once; 200 is the whole test: go test ./registry -run TestSixteenPromoteAtOnce -promotion-rounds 200.
var promotionRounds = flag.Int("promotion-rounds", 10, "rounds of TestSixteenPromoteAtOnce")

// forgetful stands before a server and loses the acks of some publishes, and the connection with them: what was asked for is stored, and nobody
// is told.
type forgetful struct {
	listener net.Listener
	target   string
	each     int64 // loses one ack of so many; 0 loses none
	acks     atomic.Int64
	lost     atomic.Int64
	conns    sync.Map
	wg       sync.WaitGroup
}

// forget starts a forgetful proxy that ends with the test.
func forget(t *testing.T, server string, each int64) *forgetful {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &forgetful{listener: l, target: u.Host, each: each}
	f.wg.Go(f.accept)
	t.Cleanup(func() {
		_ = l.Close()
		f.conns.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		f.wg.Wait()
	})
	return f
}

func (f *forgetful) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", f.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		f.conns.Store(client, nil)
		f.conns.Store(server, nil)
		f.wg.Go(func() {
			defer client.Close()
			defer server.Close()
			_, _ = io.Copy(server, client) // either end going ends both
		})
		f.wg.Go(func() {
			defer client.Close()
			defer server.Close()
			f.answers(client, server)
		})
	}
}

// ack is how an ack of LIFECYCLE begins.
var ack = []byte(`{"stream":"LIFECYCLE"`)

func (f *forgetful) answers(client, server net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if f.each > 0 && bytes.Contains(buf[:n], ack) && f.acks.Add(1)%f.each == 0 {
			f.lost.Add(1)
			return
		}
		if n > 0 {
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Sixteen promote different versions at once, through two registries on one server that lose half of their acks. After each round exactly one version is
// Production, the history is a chain, whoever won was told so, and whoever lost was told who is Production, never to try again.
func TestSixteenPromoteAtOnce(t *testing.T) {
	const people = 16
	r := newRig(t)
	for n := 1; n <= people+1; n++ {
		r.publish(runOf(n), &events.RunCompleted{RunID: runOf(n), Experiment: "e", TargetStage: events.StageStaging, Artifacts: []events.Artifact{bundleOf(n)}})
		r.publish(runOf(n), &events.ModelRegistered{Version: n, RunID: runOf(n), Bundle: bundleOf(n), TargetStage: events.StageStaging})
		r.publish(fmt.Sprint(n), &events.ModelGated{Version: n, RunID: runOf(n), Verdict: events.VerdictStaged, Reason: ReasonTargetStaging})
	}
	proxies := [2]*forgetful{forget(t, r.srv.URL(), 2), forget(t, r.srv.URL(), 2)}
	var registries [2]*running
	for i, p := range proxies {
		registries[i] = r.ready(func(c *Config) {
			c.Instance = fmt.Sprint(i)
			c.Bus = r.srv.Dial(t, bus.Config{Name: "registry", Source: fmt.Sprint("registry/", i), URL: "nats://" + p.listener.Addr().String()})
		})
	}
	was, since := 0, uint64(0)
	for round := range *promotionRounds {
		exact := round%2 == 0 // in the other rounds nobody says what they expect, and those who come later may win after another
		errs := make([]error, people+2)
		var all sync.WaitGroup
		begin := make(chan struct{})
		for n := 1; n <= people+1; n++ {
			if n == was || was == 0 && n > people {
				continue
			}
			all.Go(func() {
				<-begin
				tr := Transition{Model: churn, Version: n, Stage: events.StageProduction, ArchiveExisting: true, Actor: fmt.Sprint("person ", n)}
				if exact {
					tr.Expected = &was
				}
				_, errs[n] = registries[n%2].Transition(t.Context(), tr)
			})
		}
		close(begin)
		all.Wait()
		won := 0
		for n, err := range errs {
			switch {
			case n == 0 || n == was || was == 0 && n > people:
			case err == nil:
				won++
			default:
				require.Equal(t, fault.Conflict, fault.CodeOf(err), "round %d: %v", round, err)
				require.ErrorIs(t, err, ErrOvertaken)
				require.ErrorContains(t, err, "is Production since sequence")
			}
		}
		c := r.catalog()
		require.Len(t, c.models[churn].inProduction(), 1, "round %d", round)
		fresh := 0
		for _, p := range c.Promotions(churn) {
			if p.Sequence <= since {
				break
			}
			fresh++
			require.NoError(t, errs[p.Version], "round %d: version %d won and was told so", round, p.Version)
		}
		require.Equal(t, won, fresh, "round %d", round)
		require.True(t, won == 1 || !exact && won > 1, "round %d: %d won", round, won)
		now, _ := c.Promotion(churn)
		was, since = now.Version, now.Sequence
	}
	previous := Promotion{}
	promotions := r.catalog().Promotions(churn)
	for i := len(promotions) - 1; i >= 0; i-- {
		require.Equal(t, previous.Sequence, promotions[i].PreviousSequence)
		require.Equal(t, previous.Version, promotions[i].PreviousVersion)
		previous = promotions[i]
	}
	require.Positive(t, proxies[0].lost.Load()+proxies[1].lost.Load(), "acks were lost")
	require.Empty(t, r.deadLetters())
}
