// Package scorer works off the queue of scoring jobs: each score.requested is done by one of any number of scorers, and ends in one
// score.completed or score.failed.
//
// Consumes: score.requested of all models, on SCORING, by the durable consumer "scorer" that all scorers share; a scorer holds one job at a time and
// extends its lease while it works. To know which jobs are done it reads score.completed and score.failed.
//
// Emits: score.completed, with the digest of the output's bytes, or score.failed for what no retry can heal (a file that is not there, a header
// without a column, a path outside the data folder, too many faulty rows). What fails because a store or NATS is away is tried again. A job that
// ends the process again and again is dead-lettered as poison by package bus.
//
// Keeps: bundles it has fetched, in memory; checkpoints beside the outputs (package batch) and, of outputs that go to a store, in its scratch folder.
//
// On restart, or when another scorer takes over the job of one that died: the work goes on at its checkpoint if the output is a file that both see,
// and else begins anew. A checkpoint is locked by the process that writes the output, so one whose lease ran out while it still works is not
// overtaken: the job waits for it. The version of a job that asked for Production is the one with which it was begun if a checkpoint says so.
//
// On redelivery: a job whose score.completed or score.failed is in the stream is done, whatever acknowledgement was lost, and nothing happens. So is a
// second request with the same job id. A job replaces what is at its output: the same job may have written it and died before it could say so, and
// the same input and version give the same bytes.
package scorer
