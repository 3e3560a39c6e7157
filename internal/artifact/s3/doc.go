// Package s3 keeps artifacts in a bucket of anything that speaks S3. It is the only package that imports an S3 client.
//
// The key of an object is <prefix>/sha256/<hexadecimal digest>. A put reads its source to the end first, for the digest is the
// key, and S3 shows an object only when its last byte is stored, single or multipart; so an interrupted put is invisible.
// What a killed multipart put leaves is not an object but does cost space: give the bucket a lifecycle rule that aborts incomplete
// uploads (AbortIncompleteMultipartUpload); a put that fails aborts its own.
//
// Two writers of the same content store the same bytes under the same key, so whichever is last changes nothing. Every read is
// checked against the digest, whatever checksums the server has. The client repeats requests that got no answer or a 5xx a
// bounded number of times; a read that breaks off in the middle is an error that artifact.Transient knows.
//
// S3 can't remove an object on the condition that nobody wrote it since. A deletion therefore claims the object first, by an empty one whose
// key is the object's and ".deleting-" and a random text, then looks how old the object is, removes it, and takes the claim back
// last, all within 30 s. A put that wrote an object looks for claims afterwards, waits until there are none, and then looks whether its object is there, else
// writes it again. So either the deletion sees the young object and leaves it, or the put sees the claim or what came of it. A claim
// that is older than two minutes is of a process that died and counts no more.
package s3
