package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// experiment is where all runs are: a search looks at every one of them.
const experiment = "1"

// start of the first run, in milliseconds since 1970 UTC; the runs follow each other by a second.
const firstStart = 1_760_000_000_000

// runID returns the id of run number n.
func runID(n int) string { return fmt.Sprintf("%032x", uint64(n)*0x9e3779b97f4a7c15) }

// loader writes runs as the API would have: one message to create, one batch, one to finish.
type loader struct {
	bus *bus.Bus
	rng *rand.Rand
	due []jetstream.PubAckFuture
}

func newLoader(b *bus.Bus) *loader { return &loader{bus: b, rng: rand.New(rand.NewPCG(1, 2))} }

// experiment makes the experiment.
func (l *loader) experiment(ctx context.Context) error {
	_, err := l.bus.Append(ctx, events.New(events.AllExperiments, "bench", "0", time.UnixMilli(firstStart), &events.ExperimentChanged{
		ExperimentID: experiment, Created: true, Name: "bench", ArtifactLocation: "mlflow-artifacts:/" + experiment, Lifecycle: events.StageActive}), 0)
	return err
}

// load writes the runs from (inclusive) to (exclusive).
func (l *loader) load(ctx context.Context, from, to int) error {
	for n := from; n < to; n++ {
		for i, p := range l.run(n) {
			if err := l.publish(ctx, events.New(p.RunID, "bench", strconv.Itoa(i), time.UnixMilli(firstStart), p)); err != nil {
				return fmt.Errorf("load run %d: %w", n, err)
			}
		}
	}
	return l.settle(ctx, 0)
}

// run returns the three events of run number n: 10 metrics, 5 parameters, 5 tags and those that the Python client sets.
func (l *loader) run(n int) [3]*events.RunTracked {
	id, at := runID(n), firstStart+int64(n)*1000
	name := fmt.Sprintf("run-%d", n)
	created := &events.RunTracked{RunID: id, Status: events.StatusRunning, Name: &name, Actor: "bench",
		Created: &events.RunCreation{ExperimentID: experiment, UserID: "ann", StartTime: at, ArtifactURI: "mlflow-artifacts:/" + experiment + "/" + id + "/artifacts"},
		Tags: []events.Pair{{Key: "mlflow.user", Value: "ann"}, {Key: "mlflow.source.name", Value: "train.py"}, {Key: "mlflow.source.type", Value: "LOCAL"},
			{Key: "mlflow.runName", Value: name}}}
	batch := &events.RunTracked{RunID: id, Actor: "bench"}
	for i := range 10 {
		batch.Metrics = append(batch.Metrics, events.MetricPoint{Key: "metric_" + strconv.Itoa(i), Value: events.Number(l.rng.Float64()), Timestamp: at, Step: 1})
	}
	for i, of := range []int{20, 10, 1000, 5, 100_000} {
		batch.Params = append(batch.Params, events.Pair{Key: "param_" + strconv.Itoa(i), Value: strconv.Itoa(l.rng.IntN(of))})
		batch.Tags = append(batch.Tags, events.Pair{Key: "tag_" + strconv.Itoa(i), Value: "value " + strconv.Itoa(l.rng.IntN(of))})
	}
	end := at + 60_000
	return [3]*events.RunTracked{created, batch, {RunID: id, Status: events.StatusFinished, EndTime: &end, Actor: "bench"}}
}

// publish sends an event without waiting for its ack; at most some thousands are due.
func (l *loader) publish(ctx context.Context, ev events.Event) error {
	msg, err := l.bus.Msg(ev)
	if err != nil {
		return err
	}
	f, err := l.bus.JetStream().PublishMsgAsync(msg)
	if err != nil {
		return err
	}
	l.due = append(l.due, f)
	return l.settle(ctx, 2000)
}

// settle waits for the oldest acks until at most the given number is due.
func (l *loader) settle(ctx context.Context, due int) error {
	for ; len(l.due) > due; l.due = l.due[1:] {
		select {
		case <-l.due[0].Ok():
		case err := <-l.due[0].Err():
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// stored returns the bytes that TRACKING takes.
func (l *loader) stored(ctx context.Context) (uint64, error) {
	s, err := l.bus.JetStream().Stream(ctx, string(events.Tracking))
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.Bytes, nil
}
