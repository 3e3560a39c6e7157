// Package mlflow answers the REST API of MLflow, so that its clients log to this registry and promote in it unchanged: what 2.x and 3.x
// clients call under /api/2.0/mlflow, the same under /ajax-api/2.0/mlflow, and the artifact proxy under mlflow-artifacts.
//
// Nothing is kept here. Experiments, runs, metric points and files are folds of the stream TRACKING ([tracking.Book]); models, versions,
// stages and aliases are folds of LIFECYCLE ([registry.Service]). A handler decodes, asks for one operation of one of them, and encodes what
// it returned. An operation is one event, so a call that was refused, cut off or killed has left either all of its effect or none; whoever was told
// of success finds it after any restart. Before it answers from a fold, a handler makes sure that the fold holds everything stored before
// the call, so that every client reads its own writes, whichever instance it asks.
//
// On the wire: fields of a GET are query parameters, of the others a JSON body, of a DELETE either. 64-bit integers are JSON numbers and
// are taken as strings too; numbers that JSON can't say are the strings "NaN", "Infinity" and "-Infinity"; unknown fields are ignored, but for those of a rollout; null and
// an absent field are the same, and so is an empty string where a field is required. An answer without a field is {}. Everything below
// /api/ and /ajax-api/ answers JSON, unknown paths included.
//
// An error is {"error_code", "message"} with the status that MLflow gives the code. Bad input is 400 or 404 and never one of the statuses
// that clients repeat by themselves; 503 TEMPORARILY_UNAVAILABLE says that NATS or the artifact store is away, 500 that this package or one
// below it is wrong, with the cause in the log alone. Each call has a time limit, so no client waits for ever.
package mlflow
