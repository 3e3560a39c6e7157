// Package tracking keeps what MLflow clients log: experiments, runs with their metrics, parameters, tags, datasets and files, and the logged models of
// MLflow 3. The trainer's runs, which stand in LIFECYCLE, are shown beside them.
//
// Consumes: all of the stream TRACKING, and run.started, run.completed and run.failed of LIFECYCLE. Emits: experiment.changed, run.tracked, artifact.stored and
// model.logged, on TRACKING. Keeps: nothing; a [Book] is a fold of the two streams in memory, and the histories of metrics, which are long and
// seldom asked for, are not even there but read from the stream by the run's subject.
//
// # Who writes, and what is atomic
//
// A call is one message: all of it takes effect, or nothing. Any number of registries write. Experiments share one subject, each run and each logged
// model has its own, and a write is a compare-and-set on its subject: it expects the last message that the writer has folded. Who loses folds
// what came between and decides again, so that a parameter is written once and a name given once whoever writes. A refusal is only told after the fold was
// known to hold everything that was stored before the call. Files are the exception: the last message of a path wins by its place in the stream.
//
// # What is folded when
//
// A write is folded as soon as it is stored, ahead of the follower, by its own sequence. Since the subject had no other message since the one that was
// expected, the subject's state is exactly what the follower will find there, and the follower skips what a subject has folded already. No
// state depends on the order of two subjects, so that any interleaving ends in the same state. For the same reason a message that contradicts its
// subject (a second creation, an event of a run that was never created) is left out, and counted, the same by all.
//
// [Book.Fresh] says when everything is folded that was stored before it was called; every reading method calls it, unless its context was made by [AsFolded].
// While the bus is away the calls fail with fault.Unavailable within their context; what is in memory is not served as if it were current.
//
// On restart everything is folded again; on redelivery nothing happens. A stream that was created again starts the fold anew.
package tracking
