//go:build processes

package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

const model = "telco-churn"

// TestStackPlaysATurn starts the stack with its logins and permissions, and has it train, promote, serve, evaluate and join; then junk is written and a
// promotion made by hand. No service may have been denied anything, and nobody may do what is another's.
func TestStackPlaysATurn(t *testing.T) {
	t.Run("one server, artifacts in NATS", func(t *testing.T) {
		t.Parallel() // most of a turn is waiting
		s := newStack(t, "nats-1")
		s.nats = true
		s.turn()
	})
	t.Run("a cluster of three, artifacts in S3", func(t *testing.T) {
		t.Parallel()
		s := newStack(t, "nats-1", "nats-2", "nats-3")
		s.turn()
		s.replicated()
	})
}

func (s *stack) turn() {
	s.up() // the instances are healthy once version 1 is promoted and loaded
	s.predict(1)
	s.downstreamListens()
	s.traffic()
	s.labelsReport()
	s.tries()
	s.junk()
	s.tracks()
	s.nobodyDoesWhatIsAnothers()
	s.byHand()
	s.natsTool()
	s.nobodyWasDenied()
}

// stored returns the last message of a subject as an operator sees it.
func (s *stack) stored(stream events.Stream, typ events.Type) (*jetstream.RawStreamMsg, bool) {
	s.t.Helper()
	js, err := jetstream.New(s.connect("operator"))
	require.NoError(s.t, err)
	st, err := js.Stream(s.t.Context(), string(stream))
	require.NoError(s.t, err)
	subject, err := events.SubjectOf(typ, model)
	require.NoError(s.t, err)
	m, err := st.GetLastMsgForSubject(s.t.Context(), subject)
	return m, err == nil
}

// last returns the sequence of a stream's last message.
func (s *stack) last(stream events.Stream) uint64 {
	s.t.Helper()
	js, err := jetstream.New(s.connect("operator"))
	require.NoError(s.t, err)
	st, err := js.Stream(s.t.Context(), string(stream))
	require.NoError(s.t, err)
	return st.CachedInfo().State.LastSeq
}

// predict asks as an application does, until a version answers.
func (s *stack) predict(version int) (id string) {
	s.t.Helper()
	record := run(s.t, s.file.Services["trainer"].command(s.t, "example")...)
	app := s.connect("app")
	s.eventually(fmt.Sprintf("version %d answers", version), func() bool {
		m, err := app.Request("predict."+model, []byte(record), 2*time.Second)
		if err != nil {
			return false
		}
		var a struct {
			ID      string `json:"prediction_id"`
			Version int
		}
		id = ""
		if json.Unmarshal(m.Data, &a) == nil && a.Version == version {
			id = a.ID
		}
		return id != ""
	})
	return id
}

// downstreamListens has an operator make the durable consumer of the user downstream, who then reads the promotion from it.
func (s *stack) downstreamListens() {
	s.t.Helper()
	admin, err := jetstream.New(s.connect("operator"))
	require.NoError(s.t, err)
	_, err = admin.CreateConsumer(s.t.Context(), string(events.Lifecycle), jetstream.ConsumerConfig{
		Durable: "downstream", FilterSubject: "model.promoted.>", AckPolicy: jetstream.AckExplicitPolicy,
	})
	require.NoError(s.t, err)
	js, err := jetstream.New(s.connect("downstream"))
	require.NoError(s.t, err)
	c, err := js.Consumer(s.t.Context(), string(events.Lifecycle), "downstream")
	require.NoError(s.t, err)
	m, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
	require.NoError(s.t, err)
	require.Equal(s.t, "model.promoted."+model, m.Subject())
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(s.t, m.DoubleAck(ctx))
}

// traffic has an operator replay a file, until drift has evaluated it and examples are joined.
func (s *stack) traffic() {
	s.t.Helper()
	file := filepath.Join(s.volume("traffic"), "live.csv")
	run(s.t, s.file.Services["data"].command(s.t, "generate", "--rows", "300", "--seed", "9", "--id-prefix", "live-", "--output", file)...)
	s.operate("replay", file, "--url", "http://"+s.addr("inference-1", "8080")+"/predict", "--rate", "200", "--label-delay", "100ms")
	s.eventually("drift evaluates", func() bool {
		_, ok := s.stored(events.Drift, events.TypeDriftEvaluated)
		return ok
	})
	s.eventually("examples are joined", func() bool { return s.last(events.Training) >= 290 })
}

// labelsReport has a system of record report one outcome, which is joined with its prediction.
func (s *stack) labelsReport() {
	s.t.Helper()
	id := s.predict(1)
	before := s.last(events.Training)
	js, err := jetstream.New(s.connect("labels"))
	require.NoError(s.t, err)
	subject, header, data, err := events.New(model, "crm/test", id, time.Now(), &events.LabelObserved{PredictionID: id, Outcome: "Yes"}).Encode()
	require.NoError(s.t, err)
	_, err = js.PublishMsg(s.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: data})
	require.NoError(s.t, err)
	s.eventually("the outcome is joined", func() bool { return s.last(events.Training) > before })
	m, ok := s.stored(events.Training, events.TypeExampleJoined)
	require.True(s.t, ok)
	require.Contains(s.t, string(m.Data), id)
}

// tries has an operator put a version into the shadow, ask for the scores of a file that is not there, and answer a past period again; and an application
// name the version that answers it.
func (s *stack) tries() {
	s.t.Helper()
	s.operate("train", "--target", "staging")
	s.operate("rollout", "shadow", "2", "--reason", "a try")
	s.predict(1)
	s.eventually("the scorer counts the shadow", func() bool {
		m, ok := s.stored(events.Drift, events.TypeShadowEvaluated)
		return ok && strings.Contains(string(m.Data), `"rows":`)
	})
	s.eventually("the instances measure", func() bool {
		_, ok := s.stored(events.Fleet, events.TypeServingMeasured)
		return ok
	})
	s.operate("rollout", "abort")
	s.eventually("the shadow has its end", func() bool {
		m, ok := s.stored(events.Drift, events.TypeShadowEvaluated)
		return ok && strings.Contains(string(m.Data), `"final":true`)
	})
	js, err := jetstream.New(s.connect("operator"))
	require.NoError(s.t, err)
	subject, header, data, err := events.New(model, "test", "j1", time.Now(), &events.ScoreRequested{JobID: "j1", Input: "nowhere.csv", Output: "out.csv"}).Encode()
	require.NoError(s.t, err)
	_, err = js.PublishMsg(s.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: data})
	require.NoError(s.t, err)
	s.eventually("the scorer says that it cannot", func() bool {
		m, ok := s.stored(events.Scoring, events.TypeScoreFailed)
		return ok && strings.Contains(string(m.Data), `"j1"`)
	})
	if s.nats { // an operator who answers again has the keys of S3, too
		require.Contains(s.t, s.operate("backtest", "--version", "1"), "to the bit")
	}
	record := run(s.t, s.file.Services["trainer"].command(s.t, "example")...)
	m, err := s.connect("app").Request("predict."+model+".v1", []byte(record), 5*time.Second)
	require.NoError(s.t, err)
	require.Contains(s.t, string(m.Data), "churn_probability")
}

// junk writes what nobody can read wherever a user may write at all, and waits for the dead letters of the services that find it.
func (s *stack) junk() {
	s.t.Helper()
	for user, types := range map[string][]events.Type{
		"labels":    {events.TypeLabelObserved},
		"inference": {events.TypePredictionMade, events.TypeInstanceAlive},
		"drift":     {events.TypeDriftAlert, events.TypeExampleJoined, events.TypeDriftEvaluated},
		"trainer":   {events.TypeRunCompleted},
		"scorer":    {events.TypeShadowEvaluated},
		"operator":  {events.TypeModelPromoted},
	} {
		js, err := jetstream.New(s.connect(user))
		require.NoError(s.t, err)
		for _, typ := range types {
			subject, err := events.SubjectOf(typ, model)
			require.NoError(s.t, err)
			_, err = js.Publish(s.t.Context(), subject, []byte("{junk"))
			require.NoError(s.t, err, "%s may write %s", user, subject)
		}
	}
	missing := map[string]bool{}
	s.eventually(fmt.Sprintf("dead letters, missing %v", missing), func() bool {
		for _, t := range []events.Type{
			events.TypeLabelObserved, events.TypePredictionMade, events.TypeInstanceAlive, events.TypeDriftAlert, events.TypeExampleJoined,
			events.TypeDriftEvaluated, events.TypeRunCompleted, events.TypeModelPromoted,
			events.TypeShadowEvaluated,
		} {
			missing[string(t)] = true
		}
		var letters []struct{ Subject string }
		require.NoError(s.t, json.Unmarshal([]byte(s.operate("dead", "list", "--json")), &letters))
		for _, l := range letters {
			for typ := range missing {
				if strings.HasPrefix(typ, strings.TrimSuffix(l.Subject, "."+model)) {
					delete(missing, typ)
				}
			}
		}
		return len(missing) == 0
	})
	s.eventually("the registry repairs the junk promotion", func() bool {
		m, ok := s.stored(events.Lifecycle, events.TypeModelPromoted)
		return ok && strings.Contains(string(m.Data), `"repair"`)
	})
}

// byHand withdraws the model and promotes it again, which the instances follow and plain subscribers hear.
func (s *stack) byHand() {
	s.t.Helper()
	heard, err := s.connect("downstream").SubscribeSync("model.promoted")
	require.NoError(s.t, err)
	s.operate("withdraw")
	_, err = heard.NextMsg(10 * time.Second)
	require.NoError(s.t, err)
	health := "http://" + s.addr("inference-2", "8080") + "/readyz"
	s.eventually("a withdrawn model is not served", func() bool { return !answers(health) })
	s.operate("promote", "1")
	s.eventually("it is served again", func() bool { return answers(health) })
	s.predict(1)
	require.Contains(s.t, s.operate("status"), model)
	s.operate("runs")
	s.operate("models")
	require.Contains(s.t, s.operate("models", "history", model), "withdrawn")
	s.operate("models", "audit", model)
	s.operate("drift", "show")
	if s.nats { // an operator who collects garbage in S3 has its keys, too
		s.operate("gc", "--dry-run")
		s.operate("gc")
		s.operate("artifacts", "verify")
	}
}

// natsTool has people use the tool as the comments in the configuration say.
func (s *stack) natsTool() {
	s.t.Helper()
	ask := func(user string, args ...string) string {
		cmd := []string{tool(s.t, "nats"), "--no-context", "--server", s.url(), "--user", user, "--password", s.password(user)}
		return run(s.t, append(cmd, args...)...)
	}
	require.Contains(s.t, ask("operator", "stream", "ls"), string(events.Lifecycle))
	require.Contains(s.t, ask("operator", "micro", "ls"), "churn-inference")
	require.Contains(s.t, ask("operator", "stream", "get", string(events.Lifecycle), "1"), "run.started")
	require.Contains(s.t, ask("sys", "server", "list"), "nats-1")
	record := strings.TrimSpace(run(s.t, s.file.Services["trainer"].command(s.t, "example")...))
	require.Contains(s.t, ask("app", "--inbox-prefix=_INBOX_app", "req", "--raw", "predict."+model, record), "churn_probability")
	require.Contains(s.t, ask("downstream", "--inbox-prefix=_INBOX_downstream", "consumer", "next", string(events.Lifecycle), "downstream", "--ack"), "model.promoted")
}

// replicated holds that the streams are on all three servers.
func (s *stack) replicated() {
	s.t.Helper()
	js, err := jetstream.New(s.connect("operator"))
	require.NoError(s.t, err)
	for _, name := range append(events.Streams(), "KV_BUS_SUSPECTS", "KV_trainer") {
		st, err := js.Stream(s.t.Context(), string(name))
		require.NoError(s.t, err)
		require.Equal(s.t, 3, st.CachedInfo().Config.Replicas, name)
	}
	_, err = js.Stream(s.t.Context(), "OBJ_artifacts")
	require.ErrorIs(s.t, err, jetstream.ErrStreamNotFound, "artifacts are in S3")
}
