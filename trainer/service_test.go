package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/trainer/report"
)

// world is a server, a spec with a small learner, and a generated dataset.
type world struct {
	t      *testing.T
	server *bustest.Server
	bus    *bus.Bus
	store  artifact.Store
	spec   *spec.Spec
	data   string
	newest *Service // the trainer started last
	// tickGrace is the trainer's, the default where it is 0
	tickGrace time.Duration
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, server: bustest.Start(t), spec: spec.Telco(), data: filepath.Join(t.TempDir(), "data.csv")}
	w.bus = w.server.Connect(t)
	w.store = w.openStore(w.bus)
	w.spec.Learner.Trees = 20
	w.spec.Retrain.Debounce = 20 * time.Millisecond
	w.writeData(1)
	return w
}

// decision asks the trainer that was started last, as "churn status" does.
func (w *world) decision() Decision {
	w.t.Helper()
	resp, err := http.Get("http://" + w.newest.Addr() + "/status")
	require.NoError(w.t, err)
	defer resp.Body.Close()
	var s Status
	require.NoError(w.t, json.NewDecoder(resp.Body).Decode(&s))
	return s.Decision
}

func (w *world) openStore(b *bus.Bus) artifact.Store {
	w.t.Helper()
	s, err := objstore.Open(w.t.Context(), b.JetStream(), objstore.Config{})
	require.NoError(w.t, err)
	return s
}

func (w *world) writeData(seed uint64) {
	w.t.Helper()
	var b bytes.Buffer
	require.NoError(w.t, synth.WriteCSV(&b, synth.Config{Rows: 1500, Seed: seed, Regime: synth.Original}))
	require.NoError(w.t, os.WriteFile(w.data, b.Bytes(), 0o600))
}

// start runs a trainer until the returned function is called.
func (w *world) start(instance string) (stop func()) {
	w.t.Helper()
	b := w.server.Connect(w.t)
	c := DefaultConfig()
	c.Spec, c.Dataset, c.Addr, c.Instance = w.spec, w.data, "127.0.0.1:0", instance
	c.LeaseTTL = time.Second
	if w.tickGrace > 0 {
		c.TickGrace = w.tickGrace
	}
	c.Bus, c.Store, c.Log, c.Metrics, c.Health = b, w.openStore(b), slog.New(slog.NewTextHandler(t2w{w.t}, nil)), prometheus.NewRegistry(), app.NewHealth()
	s, err := New(c)
	require.NoError(w.t, err)
	w.newest = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(w.t, <-done)
		}
	}
	w.t.Cleanup(stop)
	return stop
}

// all returns the payloads of one type, in stream order.
func all[P events.Payload](w *world, typ events.Type) []P {
	w.t.Helper()
	k, ok := events.KindOf(typ)
	require.True(w.t, ok)
	var out []P
	err := w.bus.Read(w.t.Context(), bus.ReadConfig{Stream: k.Stream, Filters: []string{k.Wildcard()}}, func(m bus.Message) error {
		if m.Err == nil {
			out = append(out, m.Event.Payload.(P))
		}
		return nil
	})
	require.NoError(w.t, err)
	return out
}

func (w *world) completed(n int) []*events.RunCompleted {
	w.t.Helper()
	got := w.completedAtLeast(n)
	require.Len(w.t, got, n)
	return got
}

func (w *world) completedAtLeast(n int) (got []*events.RunCompleted) {
	w.t.Helper()
	bustest.Eventually(w.t, func() bool {
		got = all[*events.RunCompleted](w, events.TypeRunCompleted)
		return len(got) >= n
	}, fmt.Sprintf("%d completed runs", n))
	return got
}

func (w *world) publish(key string, p events.Payload) uint64 {
	w.t.Helper()
	r, err := w.bus.Publish(w.t.Context(), events.New(w.spec.Name, "test", key, time.Now(), p))
	require.NoError(w.t, err)
	return r.Sequence
}

// promote makes a version Production as the registry would.
func (w *world) promote(version int, digest string) uint64 {
	w.t.Helper()
	last, _, err := w.bus.Last(w.t.Context(), events.TypeModelPromoted, w.spec.Name)
	require.NoError(w.t, err)
	p := &events.ModelPromoted{Version: version, RunID: "r", Cause: events.PromotedByGate, PreviousSequence: last.Sequence,
		Bundle: events.Artifact{Name: events.ArtifactBundle, Digest: digest, SizeBytes: 1}}
	seq, err := w.bus.Append(w.t.Context(), events.New(w.spec.Name, "test", fmt.Sprintf("v%d@%d", version, last.Sequence), time.Now(), p), last.Sequence)
	require.NoError(w.t, err)
	return seq
}

func digestOf(r *events.RunCompleted) string { return bundleDigest(r.Artifacts) }

func TestAnEmptyStoreTrainsAtOnce(t *testing.T) {
	w := newWorld(t)
	stop := w.start("a")
	run := w.completed(1)[0]
	require.Equal(t, events.StageProduction, run.TargetStage)
	require.Equal(t, events.CauseFirst, run.Causes[0].Kind)
	require.Equal(t, "telco-churn-training", run.Experiment)

	names := map[string]events.Artifact{}
	for _, a := range run.Artifacts {
		names[a.Name] = a
	}
	for _, want := range []string{events.ArtifactBundle, events.ArtifactHoldout, events.ArtifactFeatures, events.ArtifactModel, events.ArtifactBaseline, events.ArtifactGolden, events.ArtifactSpec,
		report.SlicesFile, report.CalibrationFile, report.CalibrationPlot, report.LiftPlot, report.ROCPlot, report.ImportanceFile, report.ImportancePlot,
		report.CrossValidatedFile} {
		require.Contains(t, names, want)
	}
	require.Len(t, names, len(run.Artifacts), "no name is there twice")
	raw, err := artifact.ReadAll(t.Context(), w.store, artifact.Digest(names[events.ArtifactBundle].Digest), 1<<30)
	require.NoError(t, err)
	b, err := model.Decode(raw)
	require.NoError(t, err)
	require.NoError(t, b.Verify())

	t.Run("a restart with the same data and spec waits and says why", func(t *testing.T) {
		stop()
		w.start("a")
		bustest.Eventually(t, func() bool { return w.decision().Action == Wait }, "a waiting trainer")
		require.Contains(t, w.decision().Why, "the last run had the same dataset and spec")
		require.Len(t, all[*events.RunStarted](w, events.TypeRunStarted), 1)
	})
}

func TestTwoTrainersMakeOneRunPerCause(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	w.start("b")
	first := w.completed(1)[0]
	w.promote(1, digestOf(first))
	for i := range 3 {
		w.publish(fmt.Sprint(i), &events.RetrainRequested{Actor: "test", TargetStage: events.StageStaging})
	}
	second := w.completed(2)[1]
	require.Len(t, second.Causes, 3, "three requests at once are one run")
	require.Equal(t, events.StageStaging, second.TargetStage)
	require.Equal(t, digestOf(first), digestOf(second), "the same data, spec and seed give the same bytes whatever the run")
	require.Len(t, all[*events.RunStarted](w, events.TypeRunStarted), 2)
}

func TestAnOpenRunIsTakenOver(t *testing.T) {
	w := newWorld(t)
	started := &events.RunStarted{RunID: "0123456789abcdef0123456789abcdef", Causes: []events.Cause{{Kind: events.CauseRequested, Sequence: 1}},
		CausesThrough: 1, SpecDigest: w.spec.Digest(), TargetStage: events.StageStaging}
	seq, err := w.bus.Append(t.Context(), events.New(w.spec.Name, "dead/trainer", started.RunID, time.Now(), started), 0)
	require.NoError(t, err)
	require.NotZero(t, seq)
	w.start("b")
	run := w.completed(1)[0]
	require.Equal(t, started.RunID, run.RunID)
	require.Equal(t, started.Causes, run.Causes)
	require.Equal(t, events.StageStaging, run.TargetStage)
}

func TestBadDataFailsTheRunWithAReport(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, os.WriteFile(w.data, []byte("customerID,tenure\n1,2\n"), 0o600))
	w.start("a")
	var failed []*events.RunFailed
	bustest.Eventually(t, func() bool {
		failed = all[*events.RunFailed](w, events.TypeRunFailed)
		return len(failed) == 1
	}, "a failed run")
	require.Equal(t, "validate", failed[0].Step)
	require.Contains(t, failed[0].Reason, "MonthlyCharges", "the missing column is named")
	require.Empty(t, all[*events.RunCompleted](w, events.TypeRunCompleted))
	bustest.Eventually(t, func() bool { return w.decision().Action == Wait }, "a waiting trainer")
	require.Contains(t, w.decision().Why, "the last run failed in step validate")
	require.Contains(t, w.decision().Why, "MonthlyCharges")

	t.Run("mended data is trained on after a request", func(t *testing.T) {
		w.writeData(2)
		w.publish("again", &events.RetrainRequested{Actor: "test"})
		w.completed(1)
	})
}

func TestDriftWaitsForRowsAndSupersededAlertsStartNothing(t *testing.T) {
	w := newWorld(t)
	w.spec.Retrain.MinNewRows = 300
	w.start("a")
	first := w.completed(1)[0]
	old := w.promote(1, digestOf(first))
	now := w.promote(2, digestOf(first))
	measured := func(version int, promotion uint64) events.Measurement {
		return events.Measurement{Kind: events.DriftData, Column: "MonthlyCharges", Statistic: "psi", Value: 1, Threshold: 0.2, N: 1000, Version: version,
			PromotionSequence: promotion, Evaluation: 4, PredictionsSequence: 1000, Action: events.ActionRetrain}
	}
	w.publish("old", &events.DriftAlert{Measurement: measured(1, old)})
	bustest.Eventually(t, func() bool { return len(all[*events.RetrainSkipped](w, events.TypeRetrainSkipped)) == 1 }, "the old alert is skipped")
	report := measured(2, now)
	report.Action = events.ActionReport
	w.publish("report", &events.DriftAlert{Measurement: report})
	w.publish("new", &events.DriftAlert{Measurement: measured(2, now)})

	gen, err := synth.New(synth.Config{Rows: 400, Seed: 9, Regime: synth.Shifted, IDPrefix: "live-"})
	require.NoError(t, err)
	sch, err := dataset.NewSchema(w.spec)
	require.NoError(t, err)
	for i := range 400 {
		w.join(sch, gen, i)
		if i == 150 {
			require.Len(t, all[*events.RunStarted](w, events.TypeRunStarted), 1, "not enough labelled rows yet")
		}
	}
	second := w.completed(2)[1]
	require.Len(t, second.Causes, 1)
	require.Equal(t, events.CauseDrift, second.Causes[0].Kind)
	require.Equal(t, "drift", second.Params["regime"])
	require.Contains(t, second.Metrics, "older_f1_churn")
	require.Empty(t, all[*events.RunFailed](w, events.TypeRunFailed))
}

// join publishes the i-th labelled prediction, made after the alert.
func (w *world) join(sch *dataset.Schema, gen *synth.Generator, i int) {
	w.t.Helper()
	values, ok := gen.Next()
	require.True(w.t, ok)
	record := map[string]string{}
	for k, name := range synth.Header() {
		record[name] = values[k]
	}
	observed := record["Churn"] == "Yes"
	delete(record, "Churn")
	raw, err := json.Marshal(record)
	require.NoError(w.t, err)
	w.publish(fmt.Sprint("p", i), &events.ExampleJoined{PredictionID: fmt.Sprint("p", i), EntityID: record["customerID"], Version: 2,
		PredictionsSequence: uint64(1001 + i), Record: raw, Observed: observed, PredictedAt: time.Now(), ObservedAt: time.Now()})
}

func TestTheSpecsScheduleIsStoredAndFires(t *testing.T) {
	w := newWorld(t)
	w.spec.Retrain.Schedule = &spec.Schedule{Cron: "* * * * * *", TimeZone: "UTC", TargetStage: "staging"}
	w.start("a")
	first := w.completed(1)[0]
	w.promote(1, digestOf(first))
	var causes []events.Cause
	bustest.Eventually(t, func() bool {
		for _, s := range all[*events.RunStarted](w, events.TypeRunStarted)[1:] {
			causes = append(causes, s.Causes...)
		}
		return len(causes) > 0
	}, "a tick starts a run")
	require.Equal(t, events.CauseSchedule, causes[0].Kind)
	require.NoError(t, RemoveSchedule(t.Context(), w.bus, w.spec.Name))
}

func TestALostTickIsAskedForOnceAndOnlyWhileScheduled(t *testing.T) {
	w := newWorld(t)
	w.tickGrace = time.Millisecond
	w.spec.Retrain.Schedule = &spec.Schedule{Cron: "* * * * * *", TimeZone: "UTC", TargetStage: "staging"}
	stop := w.start("a")
	first := w.completedAtLeast(1)[0]
	w.promote(1, digestOf(first))
	bustest.Eventually(t, func() bool {
		s := all[*events.RunStarted](w, events.TypeRunStarted)
		return s[len(s)-1].Causes[0].Kind == events.CauseSchedule
	}, "a tick starts a run")
	stop()
	require.NoError(t, RemoveSchedule(t.Context(), w.bus, w.spec.Name)) // as a kill would: the next tick never comes
	lost := func() (n int) {
		for _, p := range all[*events.RetrainRequested](w, events.TypeRetrainRequested) {
			if p.Actor == scheduleActor {
				require.Equal(t, events.StageStaging, p.TargetStage, "the lost tick asked for Staging")
				n++
			}
		}
		return n
	}
	idle := func() {
		stop := w.start("a")
		bustest.Eventually(t, func() bool { return w.decision().Action == Idle }, "an idle trainer")
		stop()
	}
	w.spec.Retrain.Schedule = nil
	idle()
	require.Zero(t, lost(), "without a stored schedule nothing was due")
	w.spec.Retrain.Schedule = &spec.Schedule{Cron: "0 0 3 1 1 *", TimeZone: "UTC", TargetStage: "staging"}
	bustest.Eventually(t, func() bool { idle(); return lost() > 0 }, "the lost tick is asked for")
	idle()
	require.Equal(t, 1, lost(), "once, however often the trainer starts")
}

func TestASecondCompletionWithOtherBytesIsDeadLettered(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	first := w.completed(1)[0]
	open := &OpenRun{RunStarted: *all[*events.RunStarted](w, events.TypeRunStarted)[0], Sequence: 1, At: time.Now()}
	again := *first
	require.NoError(t, w.newest.complete(t.Context(), open, &again), "the same bytes are no fault")
	again.Artifacts = append([]events.Artifact{}, first.Artifacts...)
	again.Artifacts[0].Digest = "sha256:" + strings.Repeat("0", 64)
	require.NoError(t, w.newest.complete(t.Context(), open, &again))
	require.Len(t, all[*events.RunCompleted](w, events.TypeRunCompleted), 1)
	var reasons []string
	require.NoError(t, w.bus.DeadLetters(t.Context(), func(_ uint64, d events.DeadLetter) error {
		reasons = append(reasons, d.Reason)
		return nil
	}))
	require.Len(t, reasons, 1)
	require.Contains(t, reasons[0], "completed twice with different bundles")
}

func TestADecisionThatIsOvertakenStartsNothing(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	first := w.completed(1)[0]
	w.promote(1, digestOf(first))
	s := w.newest
	stale := Decision{Action: Start, Expected: 0, Causes: []Cause{request(1, "")}, TargetStage: events.StageStaging} // made before the first run started
	open, err := s.start(t.Context(), stale)
	require.NoError(t, err)
	require.Nil(t, open)
	require.Len(t, all[*events.RunStarted](w, events.TypeRunStarted), 1)
}

func TestJunkAmongTheCausesIsDeadLettered(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	first := w.completed(1)[0]
	w.promote(1, digestOf(first))
	for _, subject := range []string{"retrain.requested.telco-churn", "drift.alert.telco-churn"} {
		_, err := w.bus.JetStream().Publish(t.Context(), subject, []byte(`{"target_stage": 7`))
		require.NoError(t, err)
	}
	w.publish("good", &events.RetrainRequested{Actor: "test"})
	w.completed(2)
	bustest.Eventually(t, func() bool {
		n := 0
		require.NoError(t, w.bus.DeadLetters(t.Context(), func(_ uint64, d events.DeadLetter) error {
			require.Contains(t, d.Reason, "invalid event")
			n++
			return nil
		}))
		return n == 2
	}, "two dead letters")
}

// t2w writes log lines to a test, which shows them only if it fails.
type t2w struct{ t *testing.T }

func (w t2w) Write(b []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}
