// Package bus is JetStream with this project's streams: provisioning, acked publishing, compare-and-set, reading, following, consuming, dead
// letters and leases. It knows events and nothing of the services.
//
// What is promised and where it comes from:
//
//   - Publishing. A publish returns after the server stored the message. It is retried with the same message id, so a retry is one message.
//     Append is a compare-and-set on a subject: of all writers that expect the same sequence one wins, and its verdict is read from the stream,
//     never from an error. Reads that decide anything go through the stream's leader.
//   - Reading. Read and Follow deliver in stream order without gaps. Follow notices a stream that was re-created or lost its end and starts
//     anew. They keep no position on the server.
//   - Consuming. Consume delivers at least once, in order if MaxAckPending is 1. The position is the durable consumer's; it is written to disk up to
//     100 ms late, so that the last acked messages come again after a kill. Handlers are idempotent, or they are wrong.
//   - Nothing is dropped. What cannot ever be handled is in DEADLETTER before it is given up; what fails because something is away is tried
//     for ever, with capped back-off, logged as an error after five tries and counted.
//   - Leases save work. They are no mutual exclusion: see [Lease].
//
// Everything blocks until its context ends and none of it gives up earlier. The connection is restored for ever.
package bus
