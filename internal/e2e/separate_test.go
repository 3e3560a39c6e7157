//go:build processes

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/synth"
)

// loadedBy counts the model.loaded of an instance for a promotion.
func loadedBy(t *testing.T, b *bus.Bus, instance string, promoted uint64) int {
	t.Helper()
	n := 0
	read(t, b, events.Fleet, func(m bus.Message) {
		if p, ok := m.Event.Payload.(*events.ModelLoaded); ok && p.Instance == instance && p.PromotionSequence == promoted {
			n++
		}
	})
	return n
}

func TestSeparateProcesses(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	require.NoError(t, os.WriteFile(l.data, []byte(call(t, l.dir, "", churn(t), "generate", "--rows", "2000", "--seed", "1")), 0o600))
	pages := map[string]string{}
	for _, name := range []string{"trainer", "registry", "drift"} {
		pages[name] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	l.startInference(t) // first, as nobody has to wait for anybody
	l.startDrift(t, pages["drift"])
	l.startTrainer(t, pages["trainer"])
	l.startRegistry(t, pages["registry"])
	b := connect(t, l.url)
	awaitStreams(t, b)
	addrs := map[string]string{"one": address(t, b, "one"), "other": address(t, b, "other")}
	record := customers(t, 1)[0].record
	reload := func(version int) {
		first, second := serves(t, addrs["one"], version, record), serves(t, addrs["other"], version, record)
		require.Equal(t, first.Probability, second.Probability, "two instances, two scores")
		promoted := lifecycle(t, b).production()
		require.Equal(t, version, promoted.Version)
		for name := range addrs {
			await(t, patience, name+" says that it serves", func() error {
				if n := loadedBy(t, b, name, promoted.sequence); n != 1 {
					return fmt.Errorf("loaded %d times", n)
				}
				return nil
			})
		}
	}
	reload(1)
	for name, addr := range pages {
		_, err := get("http://" + addr + "/health")
		require.NoError(t, err, name)
		_, err = get("http://" + addr + "/metrics")
		require.NoError(t, err, name)
	}
	asked := startAsking(t, b.Conn(), addrs["one"], addrs["other"])

	// other customers with another relation, so that whoever trains on them is better at them
	writeData(t, l.data, synth.Config{Rows: 2000, Seed: 2, Regime: synth.Shifted, IDPrefix: "b-"})
	l.cli(t, "train", "--target", "staging")
	require.Equal(t, 1, lifecycle(t, b).production().Version, "staging was asked for")
	l.cli(t, "promote", "2", "--reason", "by hand")
	reload(2)
	writeData(t, l.data, synth.Config{Rows: 2000, Seed: 3, Regime: synth.Original, IDPrefix: "c-"})
	l.cli(t, "train", "--target", "production")
	reload(3)
	l.cli(t, "rollback", "--reason", "to see it")
	reload(2)
	await(t, patience, "drift evaluates", func() error {
		if messages(t, b, string(events.Drift)) == 0 {
			return fmt.Errorf("%d predictions, no evaluation", messages(t, b, string(events.Predictions)))
		}
		return nil
	})
	sent := asked.end(t)

	var versions []struct {
		Version int          `json:"version"`
		Stage   events.Stage `json:"stage"`
	}
	require.NoError(t, json.Unmarshal([]byte(l.cli(t, "models", "--json")), &versions))
	require.GreaterOrEqual(t, len(versions), 3, "three that were asked for, and one more where a drift alert came before the last request")
	for _, v := range versions {
		require.Equal(t, v.Version == 2, v.Stage == events.StageProduction, "version %d is %s", v.Version, v.Stage)
	}
	for _, command := range [][]string{{"status"}, {"runs"}, {"drift", "show"}, {"dead"}} {
		require.NotEmpty(t, l.cli(t, command...), "%v", command)
	}
	f := lifecycle(t, b)
	require.NoError(t, f.unfinished(0))
	f.check(t)
	require.Len(t, f.promotions, 4)
	require.Zero(t, messages(t, b, string(events.Dead)), "dead letters")
	for _, p := range []*process{l.one, l.trainer, l.other, l.registry, l.drift} {
		p.stop(t)
	}
	await(t, patience, "every answer is in PREDICTIONS", func() error {
		if n := messages(t, b, string(events.Predictions)); n < uint64(sent) {
			return fmt.Errorf("%d of %d", n, sent)
		}
		return nil
	})
	t.Logf("%d requests over HTTP and NATS, none failed, 4 promotions", sent)
}
