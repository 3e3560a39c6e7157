// Package artifact keeps bytes under the SHA-256 digest of their content: bundles, holdouts, reports. A name that is
// the content makes an artifact immutable, storing it twice harmless, and every read checkable without trusting the store.
//
// Who writes: anybody, at any time, the same content from two places too. A put reads its source to the end before the first byte
// goes out (the name is not known earlier), so a source that breaks off leaves nothing; the store then makes the object
// visible in one step after all of its bytes are safe. What is visible under a digest is therefore complete, and if it was
// damaged later, a reader is told at the end, not handed other bytes as the whole. A put over a damaged object repairs it.
//
// Whoever collects garbage lists a store (Lister) and deletes by age (Deleter). A put of content that is there already makes an old object
// young again, and a deletion is conditional on the age at the store itself, so that what somebody put a moment ago, and has not
// named in an event yet, stays.
//
// The stores are in the sub-packages: objstore on JetStream, s3 on anything that speaks S3. artifacttest holds the suite both
// pass.
package artifact
