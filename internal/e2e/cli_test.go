//go:build processes

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/synth"
)

// TestNATSTool holds that an operator with nothing but the nats tool sees what there is, hears each promotion once and is answered as over HTTP.
func TestNATSTool(t *testing.T) {
	t.Parallel()
	e := up(t)
	path := tool(t, "nats")
	ask := func(args ...string) string {
		t.Helper()
		return call(t, e.dir, "", append([]string{path, "--server", e.url}, args...)...)
	}
	listed := ask("stream", "ls")
	for _, s := range events.Streams() {
		require.Contains(t, listed, string(s))
	}
	require.Contains(t, ask("object", "ls"), "artifacts")
	bundle := artifact.Digest(lifecycle(t, e.bus).production().Bundle.Digest)
	require.Contains(t, ask("object", "ls", "artifacts"), bundle.Hex())
	require.Contains(t, ask("micro", "ls"), "churn-inference")
	require.Contains(t, ask("micro", "info", "churn-inference"), "predict."+model)

	record := call(t, e.dir, "", churn(t), "example")
	overHTTP, err := post(e.addr, []byte(strings.ReplaceAll(record, "\n", ""))) // which curl -d @- leaves out
	require.NoError(t, err)
	overNATS, err := decode([]byte(ask("req", "--raw", "predict."+model, strings.TrimSpace(record))))
	require.NoError(t, err)
	require.Equal(t, overHTTP.Probability, overNATS.Probability)
	require.Equal(t, overHTTP.Label, overNATS.Label)
	require.Equal(t, overHTTP.Version, overNATS.Version)
	require.NotEqual(t, overHTTP.PredictionID, overNATS.PredictionID)
	ours, err := decode([]byte(call(t, e.dir, record, churn(t), "predict", "--nats", e.url)))
	require.NoError(t, err)
	require.Equal(t, overHTTP.Probability, ours.Probability)

	before := len(lifecycle(t, e.bus).promotions)
	heard := listen(t, e, path)
	writeData(t, e.data, synth.Config{Rows: 2000, Seed: 2, Regime: synth.Shifted, IDPrefix: "b-"})
	e.cli(t, "train", "--target", "production")
	e.cli(t, "rollback")
	e.cli(t, "promote", "2")
	e.cli(t, "promote", "2") // which is Production: nothing is written
	e.lose(t)
	e.cli(t, "withdraw")
	versions := heard()
	stored := lifecycle(t, e.bus).promotions[before:]
	require.Len(t, stored, 4)
	require.Len(t, versions, 4, "one message for each promotion that was stored")
	for i, p := range stored {
		require.Equal(t, p.ModelPromoted, versions[i])
	}
	_, err = post(e.addr, []byte(record))
	require.ErrorContains(t, err, "503", "withdrawn")
	e.stop(t)
}

// lose publishes a promotion that loses its compare-and-set.
func (e *everything) lose(t *testing.T) {
	t.Helper()
	p := lifecycle(t, e.bus).production()
	p.Version, p.Cause = 1, events.PromotedManually
	msg, err := e.bus.Msg(events.New(model, e.bus.Source(), "late", time.Now(), &p.ModelPromoted))
	require.NoError(t, err)
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "1")
	_, err = e.bus.JetStream().PublishMsg(t.Context(), msg)
	var refused *jetstream.APIError
	require.ErrorAs(t, err, &refused)
}

// listen starts "nats sub model.promoted" and returns once it hears, by publishing what is no promotion until it comes out. The function returned
// does the same again and gives the promotions that came out in between.
func listen(t *testing.T, e *everything, path string) func() []events.ModelPromoted {
	t.Helper()
	sub := launch(t, e.dir, "sub", path, "--server", e.url, "sub", "--raw", "model.promoted")
	probe := func(text string) {
		await(t, patience, "nats sub hears "+text, func() error {
			if err := e.bus.Conn().PublishMsg(&nats.Msg{Subject: "model.promoted", Data: []byte(text)}); err != nil {
				return err
			}
			if !bytes.Contains(sub.output(t), []byte(text)) {
				return errors.New("not yet")
			}
			return nil
		})
	}
	probe("begin-of-test")
	return func() []events.ModelPromoted {
		probe("end-of-test")
		var all []events.ModelPromoted
		for line := range strings.Lines(string(sub.output(t))) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "{") {
				var p events.ModelPromoted
				require.NoError(t, json.Unmarshal([]byte(line), &p), line)
				all = append(all, p)
			}
		}
		return all
	}
}
