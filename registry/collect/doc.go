// Package collect removes from the artifact store what nothing points to any more.
//
// An object is kept if any of these points to it (the class is what a [Report] counts it under):
//
//   - version: a version that is not deleted
//   - alias: an alias, which deleting its version takes away
//   - production: a version that was in Production within the last [Config.History]
//   - run: the files of a run that is not deleted, and what a run of the trainer completed with
//   - model: the files of a logged model that is not deleted
//   - shared: the files that belong to neither
//   - released: any of these until less than [Config.OlderThan] ago, such as a version or run that was deleted or a file that was replaced since
//   - unread: a message that could not be decoded, or that contradicts earlier ones and was left out, but has the object's digest in its text
//   - recent: nothing, but it was stored less than [Config.OlderThan] ago
//
// Order makes it safe beside everything else that goes on. The store is listed first; then LIFECYCLE and TRACKING are folded up to what they
// hold by then; then what was listed and not marked is deleted, on the condition, which the store itself checks, that it is still that
// old. An object that somebody puts meanwhile, or put up to a week ago and has not named yet, is young, as a put makes what is there already young
// again. An object that somebody could still see in a fold of the last week and name again without a put is kept as released.
//
// What is in force the registry's own folds say, [registry.Catalog] and [tracking.Remains], with what they leave out. What the last promotion of a model
// names is kept whatever else is said of it.
//
// The files of runs and logged models that were deleted longer ago than OlderThan are taken out of them first, but for those that a version was
// registered from. One event takes away a run's whole folder. It names the sequence of TRACKING that was decided on: whoever folds it takes
// away what was stored up to there alone, and nothing unless the run was deleted there and ever since. So a run that is restored in the same moment
// has all its files or, if it was restored after the event, none, and keeps what is logged to it from then on. No version is made of a deleted run's files. The objects are released
// from the event on, and go with a collection that runs OlderThan later.
//
// Two collections at once, or one that is killed half way, do what one would: each step is conditional or harmless to repeat.
//
// A collection refuses to work where the streams can't say everything: if one of them lost messages, or if they know not a single object
// of a store that is not empty, as then it is another loop's. Two loops must not share a bucket and prefix.
package collect
