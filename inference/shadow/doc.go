// Package shadow tries a candidate on what Production answers: it scores the prediction stream a second time and costs the caller nothing.
//
// Consumes:
//   - rollout.changed.* and model.promoted.* of LIFECYCLE, folded: a shadow runs while the last rollout of a model is running in mode shadow and the
//     promotion it names is Production's.
//   - prediction.made.<model> of PREDICTIONS from the first one stored after the rollout was, and the candidate's bundle from the artifact store.
//   - example.joined.<model> of TRAINING from the same moment: what became of those predictions.
//
// Emits shadow.evaluated.<model>: the counts since the shadow began, if there is anything new: every Config.Every at first, and less and less often as
// the shadow grows old. It is a compare-and-set on its subject and at the same time the checkpoint: it says up to which message of both streams everything
// is counted. What else stands on the subject becomes a dead letter.
//
// Keeps nothing. On restart it goes on from the last shadow.evaluated, so that whatever was counted after it is counted again, once. Of several workers
// each counts for itself, and the one whose checkpoint loses takes the winner's in place of its own: nothing is lost and nothing doubled. From then on it
// stands by, and takes over when no checkpoint came for three times as long as one takes.
//
// What is not scored is counted by reason: the answer of another arm or promotion than the one that the shadow stands beside, a message that cannot be
// read, a record that the candidate's schema refuses. A candidate that panics, or whose bundle cannot be used, ends the shadow with that reason and
// nothing else. What ends a shadow otherwise is an event; the worker then publishes the counts once more, as final.
package shadow
