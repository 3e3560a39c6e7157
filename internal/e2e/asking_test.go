package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// asking sends requests over HTTP to each address, and over NATS, one after the other until it is ended, and keeps what failed.
type asking struct {
	stop chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex
	sent int
	bad  []string
}

func startAsking(t *testing.T, nc *nats.Conn, addrs ...string) *asking {
	a := &asking{stop: make(chan struct{})}
	all := customers(t, 200)
	ask := func(name string, one func([]byte) error) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-a.stop:
				return
			case <-tick.C:
			}
			err := one(all[i%len(all)].record)
			a.mu.Lock()
			a.sent++
			if err != nil {
				a.bad = append(a.bad, name+": "+err.Error())
			}
			a.mu.Unlock()
		}
	}
	for _, addr := range addrs {
		a.wg.Go(func() { ask(addr, func(r []byte) error { _, err := post(addr, r); return err }) })
	}
	a.wg.Go(func() { ask("nats", func(r []byte) error { _, err := request(nc, r); return err }) })
	return a
}

// end stops asking and returns how many requests were sent, none of which may have failed.
func (a *asking) end(t *testing.T) int {
	t.Helper()
	close(a.stop)
	a.wg.Wait()
	require.Empty(t, a.bad, "requests that failed, of %d", a.sent)
	return a.sent
}

func request(nc *nats.Conn, record []byte) (answer, error) {
	m, err := nc.Request(events.PredictPrefix+"."+model, record, 10*time.Second)
	if err != nil {
		return answer{}, err
	}
	if text := m.Header.Get("Nats-Service-Error"); text != "" {
		return answer{}, fmt.Errorf("%s: %s", text, m.Data)
	}
	return decode(m.Data)
}
