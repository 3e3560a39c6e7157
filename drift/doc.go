// Package drift watches whether a model's traffic still looks as its reference says, and joins labels with the predictions they belong to.
//
// Consumes:
//   - prediction.made.* of PREDICTIONS, followed twice: in order from the oldest window for the windows, and from the first message for an
//     index that finds a label's prediction (ids as hashes, no records).
//   - label.observed.* of LABELS (durable "drift-labels"; with Config.Model "drift-labels-<model>").
//   - example.joined.* of TRAINING, followed from the first message: live performance.
//   - drift.evaluated.* of DRIFT, its own (durable "drift-evaluations"): junk becomes dead letters.
//   - model.promoted of LIFECYCLE by sequence, as predictions name it, and through it the bundle: spec, schema, reference.
//
// Emits:
//   - drift.alert.<model> and drift.cleared.<model> when a column's state changes, and an alert again every spec.Drift.Repeat while it fires;
//   - then drift.evaluated.<model>, at every spec.Drift.Every-th prediction of the model, and at every spec.Drift.Performance.Every-th
//     labelled prediction of a version;
//   - example.joined.<model>, once per prediction and at most once per label.
//
// The arithmetic is pure: [Window], [Outcomes] and the state machine in state.go take values and the streams' timestamps, and
// the next evaluation is a function of the rows in the window, the reference and the last evaluation. So the last drift.evaluated is the
// checkpoint, and there is no other state.
//
// Keeps nothing on disk and no bucket. In memory: the window's records, the index, and hashes of the ids that were written.
//
// On restart it reads DRIFT and CAUSES, takes states, ordinals and positions from the last evaluation of each model, fills the window again
// from its first row, and goes on. An alert that was written by a process that died before its drift.evaluated is found by its id and
// not written again. TRAINING is read from its first message; examples up to the last evaluation of their version only fill the window.
//
// A version that was trained elsewhere has no reference: its traffic fills the window and its labels are joined, its columns are not evaluated, and
// log, status and churn_drift_reference say so. As it leaves no checkpoint, its predictions are read from the first one at each start.
//
// What a canary answered, or a version that the caller named, says who asks and nothing of Production: its record counts in the columns, its score and
// its label in nothing, and it never changes the reference. Its label is joined all the same, with the arm, for whoever compares the two.
//
// Every event is written as a compare-and-set on its subject, by a writer that knows all ids on that subject (see ledger). So nothing is written
// twice after a kill or by a second process beside it, however long ago; Nats-Msg-Id is only a shortcut.
//
// On redelivery of a label: a label that was joined, and a prediction that has an outcome, join no more. A label is known by its sequence, its
// time and what it is about, so that labels of a LABELS that was created anew are new. The first label of a prediction
// stays; a later one with another outcome is counted as a correction. A label without a prediction waits Config.Early for it, and is then
// counted as unmatched.
//
// Dead letters: junk, a prediction that names a promotion which does not exist or is of another version (it counts nowhere), a record that
// does not fit the schema it was served under (it counts in the window, and in the score only), an outcome that is no word of the target, a
// label of a prediction whose bundle is missing or damaged.
// A store or network that is away stops the window where it is, with an alarm, and nothing is skipped. Where the store answers three times, with a
// third of Config.Retry between, that a promoted bundle is missing or damaged, it is believed (right bytes that are no bundle, at once): the
// former reference goes on, and it is asked again now and then.
package drift
