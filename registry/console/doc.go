// Package console serves the registry's web pages: experiments, runs, models, versions, drift and a live feed of events. Everything is made on
// the server by html/template and works without JavaScript; one small script of our own updates times, the feed and the parts that tell who
// serves what. A page is a view of the folds: it waits at most two seconds for them to catch up with the streams and says so when it shows
// what was known before. What changes something is a form that asks first: the confirmation says what will change and carries the version that
// was Production when it was made, so that an outdated page is refused in words instead of acted on.
//
// Consumes: through [registry.Service] the catalog, the fleet and the book of runs; for the feed LIFECYCLE, FLEET, CAUSES and DRIFT, for the
// drift page DRIFT. Emits: nothing of its own, the forms call the registry's operations. Keeps: nothing. On restart pages go on as they
// were; the feed resumes at the last event that the browser saw.
package console
