// Package objstore keeps artifacts in a JetStream Object Store bucket. An object's name is the hexadecimal digest of its content, and
// the layout on the stream is the one of every NATS client, so `nats object ls` and `nats object get` work on it, and what
// `nats object put` adds is ignored until somebody names it by its digest.
//
// An object is a set of chunk messages under a fresh random name and one info message, under the object's own name, that
// says which chunks are its content. Safety comes from the order of writing and from one compare-and-set:
//
//   - The info is published after the server has acked every chunk, so a put killed anywhere leaves chunks that count against the
//     bucket's size but are invisible. A put that fails removes its own; Sweep removes those of the killed.
//   - The info expects the sequence that the name had when the put looked. Of two writers of the same content one names its chunks,
//     the other is refused, removes its own and checks the first one's. An unanswered request is decided by reading from the leader.
//   - Chunks are removed only when it is certain that no info names them or ever will.
//
// The client library's own Put and Get are not used: Put sends the info before the chunks are acked, and so can leave a name
// without content; Get ends after five seconds unless the context has a deadline, waits for ever on chunks that are
// gone, and, asking any replica, may not see an object that was stored a moment ago. Here infos are read from the leader.
//
// Requests without an answer are repeated for Config.RetryFor; a refusal (a full bucket) is returned at once.
package objstore
