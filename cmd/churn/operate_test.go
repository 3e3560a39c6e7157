package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
)

// operator runs commands against a running loop.
type operator struct {
	*live
	spec, data string
}

// writeSpec writes the Telco spec with fewer trees, which train in a moment under the race detector too, and with one text for another.
func writeSpec(t *testing.T, path string, changes ...string) {
	t.Helper()
	yaml := string(spec.TelcoYAML())
	changes = append(changes, "trees: 400", "trees: 40")
	for i := 0; i < len(changes); i += 2 {
		require.Contains(t, yaml, changes[i])
		yaml = strings.Replace(yaml, changes[i], changes[i+1], 1)
	}
	require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
}

// newOperator starts the loop on generated customers, with the Telco spec but for a shorter debounce.
func newOperator(t *testing.T) *operator {
	t.Helper()
	dir := t.TempDir()
	o := &operator{spec: filepath.Join(dir, "telco.yaml"), data: filepath.Join(dir, "customers.csv")}
	writeSpec(t, o.spec, "debounce: 30s", "debounce: 50ms")
	_, _, err := churn(t, "generate", "--rows", "2500", "--output", o.data)
	require.NoError(t, err)
	o.live = up(t, "--spec", o.spec, "--data", o.data)
	o.wait("serving version 1")
	return o
}

// do runs a command against the loop and returns what it printed.
func (o *operator) do(t *testing.T, args ...string) string {
	t.Helper()
	out, notes, err := churn(t, append(args, "--nats", o.nats, "--log-level", "error")...)
	require.NoError(t, err, "%s\n%s", out, notes)
	return out
}

// json runs a command with --json and decodes what it printed, which must be one value and nothing else.
func (o *operator) json(t *testing.T, into any, args ...string) {
	t.Helper()
	out := o.do(t, append(args, "--json")...)
	require.True(t, json.Valid([]byte(out)), "%v printed:\n%s", args, out)
	require.NoError(t, json.Unmarshal([]byte(out), into))
}

func (o *operator) bus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := connect.Settings{URL: o.nats, Name: "test"}.Bus(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closing(b, nil)) })
	return b
}

// production waits until the instance serves a version; 0 is none.
func (o *operator) production(t *testing.T, version int) {
	t.Helper()
	record, _, err := churn(t, "example", "--data", o.data)
	require.NoError(t, err)
	bustest.Eventually(t, func() bool {
		code, body := o.ask(record)
		if version == 0 {
			return code == http.StatusServiceUnavailable
		}
		return code == http.StatusOK && strings.Contains(body, fmt.Sprintf(`"version":%d,`, version))
	}, fmt.Sprintf("version %d answers", version))
}

// versionLine is what the tests read of "churn models --json".
type versionLine struct {
	Version int    `json:"version"`
	Stage   string `json:"stage"`
}

func (o *operator) stages(t *testing.T) map[int]string {
	t.Helper()
	var lines []versionLine
	o.json(t, &lines, "models")
	out := map[int]string{}
	for _, l := range lines {
		out[l.Version] = l.Stage
	}
	return out
}

// TestOperator plays an operator's day on one running loop, in order.
func TestOperator(t *testing.T) {
	o := newOperator(t)
	t.Run("predict over NATS gives the score of HTTP", o.testPredict)
	t.Run("replay sends what the file says, shifted, and its labels", o.testReplay)
	t.Run("train", o.testTrain)
	t.Run("promote, roll back, withdraw", o.testPromotions)
	t.Run("history, audit and differences", o.testModels)
	t.Run("runs and status", o.testViews)
	t.Run("dead letters", o.testDead)
	t.Run("a search's outcome is a run without a version", o.testTunePublished)
}

func (o *operator) testPredict(t *testing.T) {
	record, _, err := churn(t, "example", "--data", o.data)
	require.NoError(t, err)
	code, body := o.ask(record)
	require.Equal(t, 200, code, body)
	type answer struct {
		Probability float64 `json:"churn_probability"`
		Version     int     `json:"version"`
	}
	var overHTTP, overNATS answer
	require.NoError(t, json.Unmarshal([]byte(body), &overHTTP))
	o.json(t, &overNATS, "predict", record)
	require.Equal(t, overHTTP, overNATS)
	require.Equal(t, 1, overNATS.Version)

	var out, notes screen
	err = command(t.Context(), record+"\n\n"+`{"tenure":"x"}`+"\n"+record, &out, &notes, "predict", "--nats", o.nats, "--log-level", "error")
	require.ErrorContains(t, err, "1 request(s) failed")
	require.Len(t, strings.Split(strings.TrimSpace(out.String()), "\n"), 2, "the others are answered")
	require.Contains(t, notes.String(), "tenure")
	err = command(t.Context(), " \n", &out, &notes, "predict", "--nats", o.nats)
	require.ErrorContains(t, err, "no record was given")
	_, _, err = churn(t, "predict", "--model", "nobody", "--nats", o.nats, "{}")
	require.ErrorContains(t, err, "1 request(s) failed")
}

func (o *operator) testReplay(t *testing.T) {
	b := o.bus(t)
	was := map[events.Stream]uint64{}
	for _, s := range []events.Stream{events.Predictions, events.Labels} {
		seq, err := b.LastSequence(t.Context(), s)
		require.NoError(t, err)
		was[s] = seq
	}
	var sum struct {
		Sent, Answered, Failed, Labels int
		Faults                         []string
	}
	o.json(t, &sum, "replay", o.data, "--predict-url", o.predict, "--rate", "1000", "--count", "300", "--label-delay", "50ms",
		"--shift", "MonthlyCharges=*2", "--shift", "tenure=+100")
	require.Equal(t, 300, sum.Sent)
	require.Equal(t, 300, sum.Answered)
	require.Equal(t, 0, sum.Failed)
	require.Equal(t, 300, sum.Labels)
	require.NotNil(t, sum.Faults, "an empty list, not null")

	charges := map[string]float64{} // of the file
	sch, err := dataset.NewSchema(spec.Telco())
	require.NoError(t, err)
	rows, at := readRows(t, spec.Telco(), sch, o.data), slices.Index(sch.Numeric(), "MonthlyCharges")
	for i := range rows.Len() {
		charges[rows.ID(i)] = rows.Numeric(at)[i]
	}
	asked := map[string]string{} // entity of a prediction
	bustest.Eventually(t, func() bool {
		clear(asked)
		err := b.Read(t.Context(), bus.ReadConfig{Stream: events.Predictions, From: was[events.Predictions] + 1}, func(m bus.Message) error {
			p := m.Event.Payload.(*events.PredictionMade)
			asked[p.PredictionID] = p.EntityID
			var r struct{ MonthlyCharges, Tenure float64 }
			require.NoError(t, json.Unmarshal(p.Record, &r))
			require.Equal(t, 2*charges[p.EntityID], r.MonthlyCharges)
			require.GreaterOrEqual(t, r.Tenure, 100.0)
			return nil
		})
		return err == nil && len(asked) == 300
	}, "300 logged predictions")
	labels := 0
	require.NoError(t, b.Read(t.Context(), bus.ReadConfig{Stream: events.Labels, From: was[events.Labels] + 1}, func(m bus.Message) error {
		p := m.Event.Payload.(*events.LabelObserved)
		require.Contains(t, asked, p.PredictionID)
		require.Contains(t, []events.Outcome{"Yes", "No"}, p.Outcome)
		labels++
		return nil
	}))
	require.Equal(t, 300, labels)

	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"no such column", "no such numeric column", []string{"--shift", "Price=*2"}},
		{"no such file", "no such file", []string{"--spec", filepath.Join(t.TempDir(), "gone.yaml")}},
		{"nobody listens", "5 of 5 requests failed", []string{"--predict-url", "http://127.0.0.1:1/predict", "--count", "5"}},
		{"rate", "--rate must be positive", []string{"--rate", "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := churn(t, append([]string{"replay", o.data, "--no-labels", "--predict-url", o.predict}, c.args...)...)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func (o *operator) testTrain(t *testing.T) {
	var done outcome
	o.json(t, &done, "train", "--reason", "a test")
	require.Equal(t, events.VerdictStaged, done.Verdict)
	require.Equal(t, 2, done.Version)
	require.False(t, done.Promoted)
	require.NotEmpty(t, done.RunID)
	require.Greater(t, done.Metrics["roc_auc"], 0.7)
	require.Equal(t, map[int]string{1: "Production", 2: "Staging"}, o.stages(t))

	require.Contains(t, o.do(t, "train", "--no-wait"), "retraining of telco-churn asked for")
	_, _, err := churn(t, "train", "--model", "nobody", "--timeout", "300ms", "--nats", o.nats, "--log-level", "error")
	require.ErrorContains(t, err, "no verdict within 300ms", "waiting in vain is no success")
	bustest.Eventually(t, func() bool { return len(o.stages(t)) == 3 }, "a third version")
}

func (o *operator) testPromotions(t *testing.T) {
	var p struct {
		Version  int `json:"version"`
		Previous int `json:"previous_version"`
		Actor    string
		Cause    events.PromotionCause `json:"cause"`
	}
	o.json(t, &p, "promote", "2", "--actor", "me", "--reason", "a test")
	require.Equal(t, 2, p.Version)
	require.Equal(t, 1, p.Previous)
	require.Equal(t, "me", p.Actor)
	require.Equal(t, "Production", o.stages(t)[2])
	o.production(t, 2)

	require.Contains(t, o.do(t, "rollback"), "version 1 is Production (it was version 2)")
	o.production(t, 1)
	o.wait("promoted version 2 (manual)")
	o.wait("promoted version 1 (rollback)")

	require.Contains(t, o.do(t, "withdraw"), "has no Production any more (it was version 1)")
	o.production(t, 0)
	o.wait("withdrawn version 1, so the model has no Production")
	require.Contains(t, o.do(t, "promote", "1"), "version 1 is Production")
	o.production(t, 1)

	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"no such version", "9", []string{"promote", "9"}},
		{"no such model", "nobody", []string{"promote", "1", "--model", "nobody"}},
		{"another is Production", "version 1 of model telco-churn is Production", []string{"promote", "2", "--expect", "2"}},
		{"rollback of another", "expected was 2", []string{"rollback", "--expect", "2"}},
		{"force without a reason", "needs a reason", []string{"promote", "2", "--force"}},
		{"differences of nothing", "version=9", []string{"models", "diff", "telco-churn", "1", "9"}},
		{"no Production yet", "had no Production at 2020-01-01", []string{"models", "history", "telco-churn", "--at", "2020-01-01"}},
		{"no time", "--at wants a time", []string{"models", "history", "telco-churn", "--at", "soon"}},
		{"nothing listens", "is \"churn up\" running?", []string{"promote", "1", "--nats", "nats://127.0.0.1:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := c.args
			if c.name != "nothing listens" {
				args = append(args, "--nats", o.nats)
			}
			_, _, err := churn(t, append(args, "--log-level", "error")...)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func (o *operator) testModels(t *testing.T) {
	var history []registry.Promotion
	o.json(t, &history, "models", "history", "telco-churn")
	require.Len(t, history, 5)
	require.Equal(t, []int{1, 0, 1, 2, 1}, []int{history[0].Version, history[1].Version, history[2].Version, history[3].Version, history[4].Version})
	var then registry.Version
	o.json(t, &then, "models", "history", "telco-churn", "--at", history[3].At.Format(time.RFC3339Nano))
	require.Equal(t, 2, then.Version)
	require.Contains(t, o.do(t, "models", "history", "telco-churn"), "a test")

	var audit []registry.Change
	o.json(t, &audit, "models", "audit", "telco-churn")
	require.Len(t, audit, 3+3+5, "registrations, verdicts and promotions")
	require.Contains(t, o.do(t, "models", "audit", "telco-churn"), "rolled back from version 2 to version 1")

	var d registry.Diff
	o.json(t, &d, "models", "diff", "telco-churn", "1", "2")
	require.Empty(t, d.NoInputs)
	require.Empty(t, d.Inputs)
	require.NotEmpty(t, d.Metrics)
	require.Contains(t, o.do(t, "models", "diff", "telco-churn", "1", "2"), "bundle.tar")
	require.Contains(t, o.do(t, "models", "diff", "telco-churn", "1", "1"), "are alike")
	require.Contains(t, o.do(t, "models", "telco-churn"), "champion")
}

func (o *operator) testViews(t *testing.T) {
	var runs []struct {
		ID    string `json:"run_id"`
		State string `json:"state"`
	}
	o.json(t, &runs, "runs")
	require.Len(t, runs, 3)
	for _, r := range runs {
		require.Equal(t, "completed", r.State)
	}
	require.Contains(t, o.do(t, "runs"), runs[0].ID)
	require.Contains(t, o.do(t, "models"), "Production")
	require.Equal(t, "[]\n", o.do(t, "runs", "--json", "--model", "nobody"), "an empty list, not null")
	_, _, err := churn(t, "models", "nobody", "--nats", o.nats)
	require.ErrorIs(t, err, registry.ErrUnknown)

	var st loopStatus
	o.json(t, &st, "status", "--trainer-url", o.trainer)
	require.Len(t, st.Models, 1)
	m := st.Models[0]
	require.Equal(t, 1, m.Production)
	require.Equal(t, 3, m.Versions)
	require.Len(t, m.Instances, 1)
	require.NotNil(t, m.Trainer, "the trainer was asked")
	text := o.do(t, "status", "--trainer-url", o.trainer)
	require.Contains(t, text, "version 1")
	require.Contains(t, text, "trainer")
	require.NotContains(t, o.do(t, "status", "--trainer-url", "http://127.0.0.1:1"), "trainer  ", "a trainer that can't be asked is no fault")

	var drift map[string][]json.RawMessage
	o.json(t, &drift, "drift", "show")
	require.Contains(t, o.do(t, "drift", "show"), "telco-churn")
	long := strings.Repeat("long ", 48) + "name"
	resp, err := http.Post(o.registry+"/api/2.0/mlflow/registered-models/create", "application/json", strings.NewReader(`{"name":"`+long+`"}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	shown := o.do(t, "drift", "show", "--model", long)
	require.Contains(t, shown, "long long")
	require.NotContains(t, shown, "~", "a name, no key")
	require.Contains(t, shown, "no evaluation yet")
	for _, line := range strings.Split(o.do(t, "models"), "\n") {
		require.Less(t, len(line), 250, "a long name does not push the columns of all models away")
	}
	var v map[string]string
	out, _, err := churn(t, "version", "--json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.NotEmpty(t, v["version"])
}

func (o *operator) testDead(t *testing.T) {
	b := o.bus(t)
	_, err := b.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: "label.observed.telco-churn", Data: []byte("no event")})
	require.NoError(t, err)
	var letters []deadLetter
	bustest.Eventually(t, func() bool {
		o.json(t, &letters, "dead", "list")
		return len(letters) == 1
	}, "a dead letter")
	number := fmt.Sprint(letters[0].Sequence)
	require.NotEmpty(t, letters[0].Reason)
	require.Contains(t, o.do(t, "dead"), letters[0].Reason)
	var one deadLetter
	o.json(t, &one, "dead", "show", number)
	require.Equal(t, letters[0], one)
	require.Contains(t, o.do(t, "dead", "show", number), "no event")
	_, _, err = churn(t, "dead", "show", "999", "--nats", o.nats, "--log-level", "error")
	require.ErrorContains(t, err, "there is no letter 999")

	var again map[string]uint64
	o.json(t, &again, "dead", "retry", number)
	require.Equal(t, letters[0].Sequence, again["published_again"])
	bustest.Eventually(t, func() bool {
		o.json(t, &letters, "dead", "list")
		return len(letters) == 1 && letters[0].Sequence > again["published_again"]
	}, "what still can't be handled is a new letter")
}

// TestUpPrintsItsAddressesAsJSON starts it without data, so that the note about what it generates must not get in between.
func TestUpPrintsItsAddressesAsJSON(t *testing.T) {
	var out, notes screen
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	free, done := "127.0.0.1:0", make(chan error, 1)
	path := filepath.Join(t.TempDir(), "telco.yaml")
	writeSpec(t, path)
	go func() {
		done <- command(ctx, "", &out, &notes, "up", "--spec", path, "--json", "--port=-1", "--store-dir", t.TempDir(), "--store-bytes", "1073741824", "--log-level", "error",
			"--inference-addr", free, "--registry-addr", free, "--trainer-addr", free, "--drift-addr", free, "--scorer-addr", free)
	}()
	bustest.Eventually(t, func() bool { return strings.HasSuffix(out.String(), "}\n") }, "the addresses")
	var at map[string]string
	require.NoError(t, json.Unmarshal([]byte(out.String()), &at), out.String())
	bustest.Eventually(t, func() bool {
		resp, err := http.Get(strings.Replace(at["predict"], "/predict", "/readyz", 1))
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, "a served model")
	require.Contains(t, notes.String(), "customers were generated")
	cancel()
	require.NoError(t, <-done)
}

func TestRunsAreListedByTheirStart(t *testing.T) {
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cellOf := func(r registry.Run) any { return runCells(r, "m")[6] }
	want := begun.Local().Format(time.DateTime)
	later := begun.Add(5 * time.Second)
	require.Equal(t, want, cellOf(registry.Run{At: begun, Started: &events.RunStarted{}}))
	require.Equal(t, want, cellOf(registry.Run{At: later, Completed: &events.RunCompleted{StartedAt: begun}}))
	require.Equal(t, want, cellOf(registry.Run{At: later, Failed: &events.RunFailed{StartedAt: begun}}))
}

func TestServerAddressesAreShownWithoutSecrets(t *testing.T) {
	require.Equal(t, "nats://me:xxxxx@a:4222,nats://b:4222,nats://xxxxx@c:4222", redacted("nats://me:secret@a:4222,nats://b:4222,nats://token@c:4222"))
}
