// Package registry gives a run's model its version number, judges it and says which version is Production.
//
// Nothing here is a database. The registry is the stream LIFECYCLE, and every table, stage and page is a fold of it ([Catalog]): the
// Production version of a model is the last valid message on model.promoted.<model>. What the registry writes it writes as a compare-and-set
// on the last sequence of the subject, so two registries, a killed one and the operator's command line can't disagree: one of them wins
// and the others fold again and decide again. The pure part ([Catalog], [Fleet], [Judge], [DecideRollback], [DecideRollout]) has no clock and no network.
//
// # Two kinds of models
//
// A model with gates has a spec, or gates set on it ([Service.SetGates]). It has one Production at most, which only its verdict, or a person who gives
// a reason, replaces; the replaced one is archived and the alias of the champion moves in the same message. A model without gates follows MLflow to the letter: stages are labels, several
// versions may be in Production, and archiving the others is part of the one message too. Whatever enters or leaves Production does so by one message on model.promoted.
//
// A model's key is what its subjects name; it is the name that the model was made under, unless that was another's key or too long, and stays when
// the model is renamed or made again after it was deleted, so that numbers are never used twice.
//
// What clients log (experiments, runs, files) is package tracking's; [Service.CreateVersion] makes a version of it: a manifest with the digest of every file, which then can't be
// changed any more, and, where the files hold a model that can be served, a bundle. For a model with gates the run becomes a run.completed first.
//
// # Messages
//
// Consumes:
//   - run.completed of its spec's model (durable "registry-<model>", one at a time): check the bundle, register, gate, promote.
//   - all of LIFECYCLE (durable "registry"): junk, and facts that contradict an earlier one, become dead letters.
//   - all of LIFECYCLE again, followed from the first message: the fold that the pages show and that repairs start from.
//   - all of FLEET (durable "registry-fleet": junk becomes dead letters), and followed: what each instance serves, and failed loads, which
//     can lead to a rollback; and what each instance counted, by which rollouts are watched.
//   - example.joined on TRAINING, followed from the last 200,000: F1 of what is watched.
//
// Emits model.registered, model.gated, model.promoted, rollout.changed and model.changed on LIFECYCLE, and run.completed for runs of MLflow clients.
//
// Keeps nothing on disk and no bucket; bundles of the last few versions stay in memory. Once a day it clears away what killed uploads left in
// the artifact store.
//
// What people promote, and what they delete or set gates on, stand on two subjects, and two writers can contradict each other. What comes second
// loses: a deletion or gates that Production excludes are left out, and a promotion of what is deleted, or past gates, is answered by one that puts
// back what was Production before, or none; by who wrote it, else by any registry, at its start too ([Catalog.Astray]).
//
// A version that passed its gates is promoted, or tried in a canary first, as its spec plans; both are watched by the counts of the instances, and what
// breaks a limit goes back by itself with the evidence (package rollout says how that is judged). The split is the last message on rollout.changed as long
// as the promotion that it names is Production's, so that any promotion ends it at once. The last step of a canary is a promotion that names its
// revision, and then the end of the rollout: who dies between the two finds the first at the start. A promotion whose rollout was aborted meanwhile
// went astray, as above.
//
// On restart it folds LIFECYCLE, answers promotions that went astray, repairs a model.promoted whose last message is junk, judges every registered version of a model with gates that
// has no verdict, promotes every promotable version that has no promotion or begins its canary, goes on with rollouts where they stand, and looks again at failed loads of what is Production now.
//
// On redelivery each step asks the fold first: a run that has a version is not registered again, a version that has a verdict is
// not judged again, one that was promoted is not promoted again. So the second delivery of a run.completed changes nothing, and a rollback
// stays.
//
// The gate promotes by itself only onto the Production that its verdict was judged against. If another promotion comes first, up to the
// moment of the write, the version is overtaken and stays in Staging. After a withdrawal, which a person makes or a promotion that went astray leads to, the best that a run
// of drift or a schedule can get is "withdrawn" in Staging; a run that was asked for after the withdrawal is promoted as a first one is.
//
// A run is refused, and gets no version, if its bundle is missing from the store, is damaged, does not decode, is not the bundle of this run,
// model and spec, or does not score its own golden rows as recorded. The refusal is a dead letter with the reason, and Production stays.
// As an upload ends before its event is published, a missing or damaged object is believed after three deliveries and Config.Grace, in which
// a lagging replica can catch up. A store or network that is away is retried for ever, with an alarm, and never refuses anything.
package registry
