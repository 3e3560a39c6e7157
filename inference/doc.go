// Package inference answers predictions with the Production version of one model and exchanges that version while it answers.
//
// Consumes:
//   - model.promoted.<model> of LIFECYCLE, in order from the first message. The newest valid one once nothing is pending is what has to be
//     served; it needs no registry and no other service. A message that can't be read is skipped, counted and logged.
//   - rollout.changed.<model>, in one order with the promotions: the last valid one says whether a canary runs, which candidate answers which share of the
//     entities, and beside which promotion. It is in force while that promotion is the one that is served and the candidate is loaded.
//   - model.registered.<model>, as a hint only: the version is opened while the registry judges it, so that its promotion costs one pointer.
//   - requests: HTTP POST /predict and the Open Inference Protocol under /v2, and over NATS predict.<model> and predict.<model>.v<version> for each
//     version held (a micro service, queue group "q", registered anew on each exchange) with the same JSON, and with
//     headers on errors and in answers to requests that had some. A request counts as in flight once its body is there, so
//     that slow senders keep nobody out; over the bound it is answered 429, after its caller's deadline 504.
//
// Emits:
//   - prediction.made.<model>, one for each answer, asynchronously, acked and retried, from a bounded queue. An answer never waits for it;
//     what did not fit is counted, and the ordinal of the events lets a reader see the gap. A request that comes again under the caller's own
//     Request-Id has the prediction ids that it had: within the stream's dedupe window one of the two rows is kept, and the ordinal of the other is
//     such a gap, too.
//   - model.loaded.<model> after a version was exchanged, model.load_failed.<model> when one could not be, and instance.alive.<model> every
//     AliveEvery and when the split in force has changed. All three name the revision of the split that this instance uses.
//   - serving.measured.<model>: what each version answered and failed since the boot, by promotion, revision and arm, with latencies and scores. The
//     counts grow within a boot, so that a message that is lost costs nothing.
//
// Keeps: what answers in memory, one snapshot behind one atomic pointer (Production, the candidate of a split, the former Production), beside it two
// verified bundles, the one registered last and the last candidate, and in Config.CacheDir the last verified bundles and a note of the
// promotion that is served. Nothing else: the folder can be removed at any time.
//
// Canary: an entity's bucket is the xxhash64 of model, candidate and entity id, and the candidate answers the buckets below its share. So an entity
// stays with one version on every instance, a greater share keeps the entities of a smaller one, and no two candidates try themselves on the same
// customers. Records without an entity id go to Production. The candidate is fetched, decoded and verified before it answers anyone. Until then,
// where that fails (model.load_failed with the revision), before the stream was read, and after a minute without NATS, Production answers alone and
// the revision in force is 0: nobody is answered by a candidate that nobody watches. A promotion of the candidate is one pointer.
//
// Exchange: a promoted bundle is read by digest (from the folder or the store), decoded, and made to score its golden rows; then one pointer
// is stored. Requests in flight end on the predictor they began with, and each answer names its version. Where any step fails nothing is
// changed and model.load_failed says why. Its class is transient while the store or the network is away, which is retried with growing pauses;
// it is permanent when the store answered that the object is missing or damaged (tried again every ReloadEvery, as a new upload repairs
// that) or when the bytes are right and the bundle is not (never tried again). A newer promotion ends every retry. Version 0, withdrawn, takes the
// predictor away: 503 over HTTP, and the instance leaves the queue group.
//
// A promotion that is marked unservable (a version that no instance can serve, of a model without gates) is left alone: what answers goes on,
// /health, the log and churn_promotion_unservable say so, and there is no model.load_failed. With nothing loaded it stays 503 with the reason.
//
// On restart: the note on disk is read first, so that HTTP answers without NATS and without the store; the bundle's digest and golden rows
// are checked again. The stream decides as soon as it can be read, on the split too. The first exchange of a boot is announced by model.loaded,
// from disk or not.
//
// On redelivery: a promotion that is the one served already changes nothing. A re-created stream is read from its first message; until it
// holds a promotion the version in memory goes on answering.
package inference
