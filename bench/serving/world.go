package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/trainer"
)

const (
	// storeBytes is the size of the NATS server's store, of which the predictions have a share; older ones make room for newer ones.
	storeBytes = 4 << 30
	// trees of a model and their depth: the same as those of the Python servers.
	trees, depth = 100, 3
	// customers whose records are sent, one after another.
	customers = 500
	// variants of the model, by seed, that promotions go round.
	variants = 4
)

// world is a NATS server in a process of its own, and the hand that registers and promotes.
type world struct {
	server  *helper
	bus     *bus.Bus
	store   artifact.Store
	bundles []events.Artifact // one for each variant
	last    uint64            // sequence of the last promotion
	version int
}

// theWorld returns the world of all sections, made when the first of them needs it; the driver closes it.
func (b *bench) theWorld(ctx context.Context) (*world, error) {
	if b.world != nil {
		return b.world, nil
	}
	var err error
	b.world, err = b.newWorld(ctx)
	return b.world, err
}

// newWorld starts the server, puts the models into its store and promotes one.
func (b *bench) newWorld(ctx context.Context) (_ *world, err error) {
	models, err := b.models(ctx)
	if err != nil {
		return nil, err
	}
	w := &world{}
	dir, err := os.MkdirTemp(b.dir, "nats-")
	if err != nil {
		return nil, err
	}
	if w.server, err = b.hire(ctx, task{Task: "nats", Dir: dir}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.bus, err = bus.Connect(ctx, bus.Config{URL: w.server.ready.URL, Name: "bench", StoreBytes: storeBytes}); err != nil {
		return nil, err
	}
	if err := w.bus.Provision(ctx); err != nil {
		return nil, err
	}
	if w.store, err = objstore.Open(ctx, w.bus.JetStream(), objstore.Config{MaxBytes: bus.ArtifactMaxBytes(storeBytes), Replicas: 1}); err != nil {
		return nil, err
	}
	for _, data := range models {
		ref, err := artifact.PutBytes(ctx, w.store, data)
		if err != nil {
			return nil, err
		}
		w.bundles = append(w.bundles, events.Artifact{Name: "bundle.tar", Digest: string(ref.Digest), SizeBytes: ref.Size})
	}
	if err := w.promote(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// close ends the connection and the server.
func (w *world) close() error {
	var errs []error
	if w.bus != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopWait)
		defer cancel()
		errs = append(errs, w.bus.Close(ctx))
	}
	return errors.Join(append(errs, w.server.dismiss())...)
}

// promote registers and promotes the next version as the registry does, and returns once it is stored.
func (w *world) promote(ctx context.Context) error {
	n := w.version + 1
	bundle, run := w.bundles[n%len(w.bundles)], fmt.Sprintf("run-%d", n)
	registered := &events.ModelRegistered{Version: n, RunID: run, Bundle: bundle, TargetStage: events.StageProduction}
	if _, err := w.bus.Publish(ctx, events.New(spec.Telco().Name, "bench", run, time.Now(), registered)); err != nil {
		return fmt.Errorf("register version %d: %w", n, err)
	}
	promoted := &events.ModelPromoted{Version: n, RunID: run, Bundle: bundle, PreviousVersion: w.version, PreviousSequence: w.last, Cause: events.PromotedByGate}
	sequence, err := w.bus.Append(ctx, events.New(spec.Telco().Name, "bench", fmt.Sprintf("v%d@%d", n, w.last), time.Now(), promoted), w.last)
	if err != nil {
		return fmt.Errorf("promote version %d: %w", n, err)
	}
	w.version, w.last = n, sequence
	return nil
}

// models trains the variants on the real file or on as many generated customers, with the recipe of the loop and as many trees as the Python servers
// have, and returns their bundles; once.
func (b *bench) models(ctx context.Context) ([][]byte, error) {
	if b.trained != nil {
		return b.trained, nil
	}
	data, err := b.telco()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for seed := range uint64(min(variants, b.config.Promotions+1)) {
		s := spec.Telco()
		s.Learner.Trees, s.Learner.MaxDepth, s.Learner.LearningRate, s.Learner.EarlyStoppingRounds, s.Learner.Folds = trees, depth, 0.1, 0, 0
		s.Learner.Seed += seed
		schema, err := dataset.NewSchema(s)
		if err != nil {
			return nil, err
		}
		table, _, fingerprint, err := trainer.LoadDataset(ctx, s, schema, data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", data, err)
		}
		result, err := trainer.Train(ctx, trainer.Input{Spec: s, Schema: schema, Dataset: table, RunID: fmt.Sprintf("bench-%d", seed), DatasetFingerprint: fingerprint})
		if err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		encoded, err := result.Bundle.Encode()
		if err != nil {
			return nil, err
		}
		all = append(all, encoded)
	}
	b.trained = all
	return all, os.WriteFile(filepath.Join(b.dir, bundleFile), all[0], 0o600)
}

// telco returns the real file, or one of as many generated customers.
func (b *bench) telco() (path string, err error) {
	if _, err := os.Stat(b.config.Data); err == nil {
		return filepath.Abs(b.config.Data)
	}
	b.Remark("The real Telco file is not there (%s): the models are trained on generated customers.", b.config.Data)
	return b.generated(b.config.Customers)
}

// generated makes a CSV file of generated customers, unless it is there already.
func (b *bench) generated(rows int) (path string, err error) {
	path = filepath.Join(b.dir, fmt.Sprintf("customers%d.csv", rows))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	f, err := os.Create(path + ".part")
	if err != nil {
		return "", err
	}
	err = errors.Join(synth.WriteCSV(f, synth.Config{Rows: rows, Seed: 1, Regime: synth.Original}), f.Close())
	if err != nil {
		return "", fmt.Errorf("generate %s: %w", path, err)
	}
	return path, os.Rename(path+".part", path)
}

// Files in the folder of a run.
const (
	bodiesFile = "bodies.jsonl"
	scriptFile = "post.lua"
	bundleFile = "bundle.tar"
)

// bodies writes the records of customers with all their values, one a line, spelled as Python's json spells them, and returns them.
func (b *bench) bodies() ([][]byte, error) {
	g, err := synth.New(synth.Config{Rows: math.MaxInt32, Seed: 7, Regime: synth.Original})
	if err != nil {
		return nil, err
	}
	var all [][]byte
	var file []byte
	for len(all) < customers {
		c, _ := g.NextCustomer()
		if math.IsNaN(c.TotalCharges) {
			continue
		}
		body, err := record(&c)
		if err != nil {
			return nil, err
		}
		all, file = append(all, body), append(append(file, body...), '\n')
	}
	return all, os.WriteFile(filepath.Join(b.dir, bodiesFile), file, 0o600)
}

// record writes a customer as a JSON object, numbers as numbers, without the outcome.
func record(c *synth.Customer) ([]byte, error) {
	values := c.AppendRecord(nil)
	out := []byte{'{'}
	for i, name := range synth.Header() {
		if name == "Churn" {
			continue
		}
		if i > 0 {
			out = append(out, ", "...)
		}
		out = strconv.AppendQuote(out, name)
		out = append(out, ": "...)
		switch name {
		case "SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges":
			out = append(out, values[i]...)
		default:
			text, err := json.Marshal(values[i])
			if err != nil {
				return nil, err
			}
			out = append(out, text...)
		}
	}
	return append(out, '}'), nil
}
