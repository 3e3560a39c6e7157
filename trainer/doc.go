// Package trainer turns causes into runs: it watches why a model should be trained again, decides when, trains it and publishes what came out.
//
// Consumes: run.*, model.promoted (LIFECYCLE), drift.alert, retrain.requested, schedule.retrain (CAUSES), example.joined (TRAINING), the spec's dataset.
//
// Emits: run.started, run.completed, run.failed (LIFECYCLE), retrain.skipped, schedule.retrain, and retrain.requested for a tick that a killed
// server lost (CAUSES); the artifacts of a run go to the artifact store before run.completed names them.
//
// Keeps: a lease per model in the key-value bucket "trainer", which saves work and guards nothing. Everything it decides on is a fold of the
// streams, rebuilt at each start.
//
// On restart: the folds are read again. A run that was started and has neither completed nor failed is open, and whoever takes the lease
// finishes it from the cut-offs in its run.started: the same rows, the same seed, the same bytes.
//
// On redelivery: causes are not a work queue. Pending are the causes after the mark (causes_through) of the last run.started; run.started is a
// compare-and-set on its subject, so a cause is taken by one run, whatever is delivered twice and whoever races.
//
// The decision when to start is [Decide] and the training is [Train]; both are pure. [Tuning] is the same recipe as something for package tune
// to search; package report makes the tables and pictures of a run.
package trainer
