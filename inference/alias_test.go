package inference_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// expected is a record with what becomes of it, worked out alone.
type expected struct {
	body    []byte // as it is sent
	record  string // as it is logged
	entity  string
	scores  map[int]string // by version
	unknown bool           // it has a category that was never seen
}

// expectations are records of every length and layout, with what two bundles say of them.
func expectations(t testing.TB, s *spec.Spec, bundles map[int]*model.Bundle) []expected {
	t.Helper()
	var all []expected
	for k, data := range modeltest.Records(t, modeltest.Options{Rows: 100, Seed: 5, Spec: s}) {
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &fields))
		e := expected{scores: map[int]string{}, unknown: k%7 == 0}
		if e.unknown {
			fields["Contract"] = fmt.Appendf(nil, `"never seen %d"`, k)
		}
		if k%5 == 0 {
			fields["Remark"] = fmt.Appendf(nil, `"%s"`, strings.Repeat(`é\"\\`, k))
		}
		data, err := json.Marshal(fields)
		require.NoError(t, err)
		e.body, e.record = data, string(data)
		if k%3 == 0 {
			var wide bytes.Buffer
			require.NoError(t, json.Indent(&wide, data, " ", "\t"))
			e.body = wide.Bytes()
		}
		for version, b := range bundles {
			row := b.Schema.NewRow()
			_, err := b.Schema.DecodeJSON(e.body, row, dataset.DecodeOptions{})
			require.NoError(t, err)
			score, err := json.Marshal(b.NewScorer().Score(row).Probability)
			require.NoError(t, err)
			e.scores[version], e.entity = string(score), strings.Clone(row.ID)
		}
		all = append(all, e)
	}
	return all
}

// TestNothingOfAnotherRequestIsInAnAnswerOrItsEvent has many clients ask for different records and lists at once, over both transports and under a
// split, and holds each answer and each event to what one record alone comes to. Without an id column the entity is a digest of the record.
func TestNothingOfAnotherRequestIsInAnAnswerOrItsEvent(t *testing.T) {
	noID := spec.Telco()
	noID.Columns.ID, noID.Expectations.UniqueID = "", false
	for name, s := range map[string]*spec.Spec{"with an id": spec.Telco(), "without": noID} {
		t.Run(name, func(t *testing.T) {
			w, bundles := newWorld(t), map[int]*model.Bundle{}
			files := map[int][]byte{}
			for v := 1; v <= 2; v++ {
				if files[v] = encoded(t, uint64(v)); s == noID {
					files[v] = modeltest.Encoded(t, modeltest.Options{Rows: 100, Seed: uint64(v), Relation: uint64(v), Spec: s})
				}
				b, err := model.Decode(files[v])
				require.NoError(t, err)
				bundles[v] = b
			}
			all := expectations(t, s, bundles)
			i := run(t, w.config(t, "one"))
			w.promote(t, w.put(t, files[1]))
			i.serves(t, 1, all[0].body)
			answersNATS(t, w, all[0].body)
			w.rollouts(t, w.put(t, files[2])).run(t, 0.5, i)

			crowd := &crowd{world: w, instance: i, all: all, given: map[string]given{}}
			var clients sync.WaitGroup
			for c := range 8 {
				clients.Go(func() { crowd.ask(uint64(c)) })
			}
			clients.Wait()
			require.Empty(t, crowd.wrong)
			bustest.Eventually(t, func() bool { return metric(t, i, "churn_prediction_log_queued") == 0 }, "all is logged")
			logged := 0
			for _, p := range read[*events.PredictionMade](t, w, events.Predictions) {
				g, ours := crowd.given[p.PredictionID]
				if !ours {
					continue // of the wait for the instance
				}
				logged++
				e := all[g.record]
				require.Equal(t, []any{e.record, e.entity, e.scores[g.version], g.version, g.request},
					[]any{string(p.Record), p.EntityID, string(must(json.Marshal(p.Score))), p.Version, p.RequestID})
			}
			require.Equal(t, len(crowd.given), logged)
		})
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// given is what an answer was given for.
type given struct {
	record, version int
	request         string
}

// crowd are the clients.
type crowd struct {
	*world
	*instance
	all []expected

	mu    sync.Mutex
	given map[string]given // by prediction id
	wrong []string
}

// ask is one client, who asks over HTTP or NATS.
func (c *crowd) ask(client uint64) {
	rng := rand.New(rand.NewPCG(client, 1))
	for n := range 25 {
		var asked []int
		var parts [][]byte
		for range 1 + rng.IntN(2)*rng.IntN(12) {
			k := rng.IntN(len(c.all))
			asked, parts = append(asked, k), append(parts, c.all[k].body)
		}
		body := parts[0]
		if len(parts) > 1 {
			body = fmt.Appendf(nil, " [%s ] ", bytes.Join(parts, []byte(" , ")))
		}
		id := ""
		if rng.IntN(2) == 0 {
			id = fmt.Sprintf("client-%d-%d", client, n)
		}
		var out []byte
		var err error
		if explain := fmt.Sprint(rng.IntN(6) == 0); client%2 == 0 {
			out, err = c.overNATS(body, id, explain)
		} else {
			out, err = c.overHTTP(body, id, explain)
		}
		if len(parts) == 1 {
			out = fmt.Appendf(nil, "[%s]", out)
		}
		var answers []answer
		if err == nil {
			err = json.Unmarshal(out, &answers)
		}
		c.check(asked, id, answers, err)
	}
}

func (c *crowd) overNATS(body []byte, id, explain string) ([]byte, error) {
	m := &nats.Msg{Subject: "predict." + modelName, Data: body, Header: nats.Header{}}
	if id != "" {
		m.Header["Request-Id"] = []string{id}
	}
	if explain == "true" {
		m.Header["Explain"] = []string{explain}
	}
	msg, err := c.bus.Conn().RequestMsg(m, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if msg.Header.Get("Request-Id") != id {
		return nil, fmt.Errorf("request %q is named %q", id, msg.Header.Get("Request-Id"))
	}
	return msg.Data, nil
}

func (c *crowd) overHTTP(body []byte, id, explain string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+c.Addr()+"/predict?explain="+explain, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if id != "" {
		req.Header.Set("Request-Id", id)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Request-Id") != id {
		return nil, fmt.Errorf("request %q is named %q", id, resp.Header.Get("Request-Id"))
	}
	return io.ReadAll(resp.Body)
}

// check notes what is wrong with the answers to some records.
func (c *crowd) check(asked []int, id string, answers []answer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || len(answers) != len(asked) {
		c.wrong = append(c.wrong, fmt.Sprintf("%d answers to %d records: %v", len(answers), len(asked), err))
		return
	}
	for n, a := range answers {
		e := c.all[asked[n]]
		warned := false
		for _, p := range a.Warnings {
			warned = warned || p.Type == "value_error.set" && strings.HasPrefix(p.Msg, fmt.Sprintf(`"never seen %d"`, asked[n]))
		}
		if _, twice := c.given[a.PredictionID]; twice || a.Version != c.Route(e.entity) || a.Probability.String() != e.scores[a.Version] || warned != e.unknown {
			c.wrong = append(c.wrong, fmt.Sprintf("record %d, entity %s: %+v", asked[n], e.entity, a))
		}
		c.given[a.PredictionID] = given{asked[n], a.Version, id}
	}
}
