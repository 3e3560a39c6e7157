//go:build processes

package e2e

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// promotionRounds is how often sixteen promote at once; "make promotions" plays the whole 200.
var promotionRounds = flag.Int("promotion-rounds", 6, "rounds of TestSixteenPromoteOverHTTP")

// contest is many who promote at once, through two registries.
type contest struct {
	registries [2]mlflow
	proxies    [2]*bustest.Proxy
	bus        *bus.Bus
	name       string
	versions   int
	// was and since are what is Production, and the sequence of its promotion.
	was   int
	since uint64
	// answers counts what was said, by status.
	answers map[int]int
}

// startContest starts a server and two registries as processes of their own. Each reaches the server through a proxy that loses every other ack of LIFECYCLE, with
// the connection.
func startContest(t *testing.T, versions int) *contest {
	t.Helper()
	l := newLoop(t)
	c := &contest{name: "a model", versions: versions, answers: map[int]int{}}
	for i := range c.registries {
		c.proxies[i] = bustest.StartProxy(t, l.url)
		c.registries[i] = mlflow{fmt.Sprintf("127.0.0.1:%d", freePort(t))}
		launch(t, l.dir, fmt.Sprint("registry-", i), churn(t), "registry", "--nats", c.proxies[i].URL(), "--store-bytes", strconv.Itoa(storeBytes),
			"--spec", l.spec, "--registry-addr", c.registries[i].addr)
	}
	for _, m := range c.registries {
		m.awaitReady(t)
	}
	m := c.registries[0]
	run := m.newRun(t, "0", "run")
	m.upload(t, "0", run, "model/weights.bin", "no model that anybody can serve")
	m.post(t, "registered-models/create", fields{"name": c.name})
	for n := range versions {
		require.Equal(t, strconv.Itoa(n+1), m.register(t, c.name, "0", run, "model"))
	}
	for _, p := range c.proxies {
		p.LoseEach(2, `{"stream":"LIFECYCLE"`)
	}
	c.bus = connect(t, l.url)
	return c
}

// round has every version but the one in Production promoted at once, by callers who say what they expect if exact, and holds that each was told
// the truth.
func (c *contest) round(t *testing.T, exact bool) {
	t.Helper()
	errs := make([]error, c.versions+1)
	var all sync.WaitGroup
	begin, callers := make(chan struct{}), 0
	for n := 1; n <= c.versions; n++ {
		if n == c.was || c.was == 0 && n == c.versions {
			continue
		}
		callers++
		body := fields{"name": c.name, "version": strconv.Itoa(n), "stage": "Production", "archive_existing_versions": true}
		if exact {
			body["expected_version"] = c.was
		}
		all.Go(func() {
			<-begin
			_, errs[n] = c.registries[n%2].send(http.MethodPost, api+"model-versions/transition-stage", body)
		})
	}
	close(begin)
	all.Wait()
	lost := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		var no *refusal
		require.ErrorAs(t, err, &no)
		require.Equal(t, http.StatusConflict, no.status, no.answer)
		require.Contains(t, no.answer, "is Production since sequence")
		lost++
	}
	c.answers[http.StatusOK] += callers - lost
	c.answers[http.StatusConflict] += lost
	won := c.promotions(t, errs)
	require.Equal(t, callers-lost, won, "as many promotions as callers were told so")
	require.True(t, won == 1 || !exact && won > 1, "%d won", won)
	c.holdOne(t)
}

// promotions reads what this round stored, holds that it goes on where the last one ended and that each winner was told so, and returns its number.
func (c *contest) promotions(t *testing.T, errs []error) (n int) {
	t.Helper()
	err := c.bus.Read(t.Context(), bus.ReadConfig{Stream: events.Lifecycle, From: c.since + 1}, func(m bus.Message) error {
		p, ok := m.Event.Payload.(*events.ModelPromoted)
		if !ok {
			return nil
		}
		if p.PreviousSequence != c.since || p.PreviousVersion != c.was {
			return fmt.Errorf("sequence %d follows %d, not %d", m.Sequence, p.PreviousSequence, c.since)
		}
		if errs[p.Version] != nil {
			return fmt.Errorf("version %d won and was told: %w", p.Version, errs[p.Version])
		}
		c.was, c.since = p.Version, m.Sequence
		n++
		return nil
	})
	require.NoError(t, err)
	return n
}

// holdOne holds that both registries show one Production, the last one promoted.
func (c *contest) holdOne(t *testing.T) {
	t.Helper()
	for _, m := range c.registries {
		found := m.must(t, http.MethodGet, api+"model-versions/search?filter=name%3D%27a%20model%27", nil)["model_versions"].([]any)
		require.Len(t, found, c.versions)
		for _, v := range found {
			version := v.(fields)
			require.Equal(t, version["version"] == strconv.Itoa(c.was), version["current_stage"] == "Production", "version %v is %v", version["version"], version["current_stage"])
		}
	}
}

// Sixteen clients promote different versions at once, over HTTP, through two registry processes that lose half of their acks. After each round one version
// is Production, the promotions are a chain, every winner was told 200 and every loser 409 with the version found.
func TestSixteenPromoteOverHTTP(t *testing.T) {
	t.Parallel()
	c := startContest(t, 17)
	for round := range *promotionRounds {
		c.round(t, round%2 == 0)
	}
	require.Positive(t, c.proxies[0].Lost())
	require.Positive(t, c.proxies[1].Lost())
	require.NoError(t, c.bus.DeadLetters(t.Context(), func(uint64, events.DeadLetter) error { return errors.New("a dead letter") }))
	t.Logf("%d rounds: %d told 200, %d told 409, %d acks lost", *promotionRounds, c.answers[http.StatusOK], c.answers[http.StatusConflict],
		c.proxies[0].Lost()+c.proxies[1].Lost())
}
