package bus

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A message that kills its process comes again for ever, and takes every process that handles it down. The server's count of deliveries does not tell
// it from an innocent one: messages that were given back by a handler's error are delivered again too, and so are those that merely waited behind the
// killer. What tells is evidence of beginning without end. It is kept in a bucket of its own, and only for suspects, so that the usual
// message costs nothing:
//
//   - deliveries 1 and 2 are handled without a record of their beginning, and so is a delivery whose predecessor came to an end in this process;
//   - at any other, a key "durable.sequence.time" with the number of beginnings is written before the handler is called;
//   - a handler that ended with an error sets the number to 0, at any delivery; one that asked for a wait, or is done with the message, removes
//     the key;
//   - a message whose handler began MaxPoison times without any end in between is poison. Where nothing is recorded at the third delivery,
//     the first two count as begun.
//
// The record is not written by compare-and-set: two processes hold one message only after a lease ran out, and a count off by one does no harm.
//
// Nor does the record ever hold a message up. Each write is tried once, for half a second, and if it fails the message is handled all the same: better one that
// may be poison than one that is never handled. A bucket that does not answer is left alone for a while. A key is removed with a marker that
// the server removes in turn a second later, so that the bucket holds suspects and nothing else; purging the stream would leave no marker at all,
// but whoever may do that could remove the records of others.

const (
	suspects        = "BUS_SUSPECTS"
	unrecorded      = 2
	suspectsMaxAge  = 30 * day
	suspectsMaxSize = 2 << 20
	suspectsMarker  = time.Second // the least that the server allows
	suspectsTry     = 500 * time.Millisecond
	suspectsRest    = 10 * time.Second // after a try without an answer
	suspectsAlarm   = time.Minute      // between two logs of what could not be recorded
)

// record is what the bucket holds of a message, as far as a process knows.
type record string

const (
	recordUnknown record = "unknown"
	recordNone    record = "none" // no key, or it is being removed
	recordZero    record = "zero" // no beginning without an end
)

// ending says that a delivery of a message came to an end in this process, and what the bucket held then.
type ending struct {
	delivery uint64
	record   record
}

// poison keeps the records of one consumer. It is not safe for concurrent use.
type poison struct {
	b  *Bus
	c  ConsumerConfig
	kv jetstream.KeyValue
	// ends are of messages that will come again. The server has no more than MaxAckPending of those; what another process was done with is left
	// here, until there are more and all are forgotten, which costs a write each.
	ends map[string]ending

	rest  time.Time // until when the bucket is left alone
	alarm time.Time // until when nothing is logged
}

func (p *poison) key(m Message) string {
	return p.c.Durable + "." + strconv.FormatUint(m.Sequence, 10) + "." + strconv.FormatInt(m.Time.UnixNano(), 10)
}

// known returns what the bucket holds of m, and whether the delivery before came to an end as far as this process knows.
func (p *poison) known(m Message) (record, bool) {
	if m.Deliveries <= 1 {
		return recordNone, true
	}
	if e, ok := p.ends[p.key(m)]; ok && e.delivery == m.Deliveries-1 {
		return e.record, true
	}
	return recordUnknown, false
}

// ended keeps in memory that the delivery in hand came to an end.
func (p *poison) ended(m Message, r record) {
	key := p.key(m)
	if _, ok := p.ends[key]; !ok && len(p.ends) >= p.c.MaxAckPending {
		clear(p.ends)
	}
	p.ends[key] = ending{m.Deliveries, r}
}

// begin records that a handler is about to begin with a suspect, and reports whether it is poison.
func (p *poison) begin(m Message) bool {
	if _, ended := p.known(m); ended || m.Deliveries <= unrecorded {
		return false
	}
	isPoison := false
	p.try(m, func(ctx context.Context, kv jetstream.KeyValue) error {
		begun := unrecorded
		entry, err := kv.Get(ctx, p.key(m))
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			return err
		default:
			if n, err := strconv.Atoi(string(entry.Value())); err == nil {
				begun = n
			}
		}
		if begun >= p.c.MaxPoison {
			isPoison = true
			return nil
		}
		_, err = kv.PutString(ctx, p.key(m), strconv.Itoa(begun+1))
		return err
	})
	return isPoison
}

// failed records that the handler came to an end, although not to a good one.
func (p *poison) failed(m Message) {
	r, _ := p.known(m)
	if r != recordZero {
		r = recordUnknown
		if p.try(m, func(ctx context.Context, kv jetstream.KeyValue) error {
			_, err := kv.PutString(ctx, p.key(m), "0")
			return err
		}) {
			r = recordZero
		}
	}
	p.ended(m, r)
}

// waits notes that the handler asked for the message to come again later. Many messages may wait for long, so none of them is kept in the bucket.
func (p *poison) waits(m Message) {
	r, _ := p.known(m)
	if r == recordUnknown && p.remove(m) {
		r = recordNone
	}
	p.ended(m, r)
}

// done removes what was recorded of a message that will not come again.
func (p *poison) done(m Message) {
	if r, _ := p.known(m); r != recordNone {
		p.remove(m)
	}
	if m.Deliveries > 1 {
		delete(p.ends, p.key(m))
	}
}

func (p *poison) remove(m Message) bool {
	return p.try(m, func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Purge(ctx, p.key(m), jetstream.PurgeTTL(suspectsMarker))
	})
}

// try calls do once with the bucket, for a short time, and reports whether that succeeded. A record that is lost makes an end look like a death, or hides
// a death, once.
func (p *poison) try(m Message, do func(context.Context, jetstream.KeyValue) error) bool {
	if time.Now().Before(p.rest) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), suspectsTry)
	defer cancel()
	var err error
	if p.kv == nil {
		p.kv, err = p.b.suspects(ctx)
	}
	if err == nil {
		err = do(ctx, p.kv)
	}
	if err == nil {
		return true
	}
	p.kv = nil // the bucket may have been deleted
	var api *jetstream.APIError
	answered := errors.As(err, &api)
	if !answered {
		p.rest = time.Now().Add(suspectsRest)
	}
	if time.Now().Before(p.alarm) {
		return false
	}
	p.alarm = time.Now().Add(suspectsAlarm)
	level := slog.LevelWarn
	if answered { // the bucket is full, or not as it should be
		level = slog.LevelError
	}
	p.b.log.Log(ctx, level, "suspect not recorded, poison may go unnoticed", "consumer", p.c.Durable, "subject", m.Subject, "sequence", m.Sequence, "err", err)
	return false
}

// suspects opens the bucket of the records.
func (b *Bus) suspects(ctx context.Context) (jetstream.KeyValue, error) {
	return b.bucket(ctx, jetstream.KeyValueConfig{
		Bucket: suspects, Description: "Messages whose handler began and did not end yet; see bus/poison.go.",
		TTL: suspectsMaxAge, MaxBytes: suspectsMaxSize, LimitMarkerTTL: suspectsMarker,
	})
}

// provisionSuspects makes the bucket of the records, or has an existing one let its markers go.
func (b *Bus) provisionSuspects(ctx context.Context) error {
	if _, err := b.suspects(ctx); err != nil {
		return err
	}
	stream, err := b.js.Stream(ctx, "KV_"+suspects)
	if err != nil {
		return err
	}
	c := stream.CachedInfo().Config
	if c.AllowMsgTTL {
		return nil
	}
	c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = true, suspectsMarker
	_, err = b.js.UpdateStream(ctx, c)
	return err
}

// bucket opens a key-value bucket, making it if it is not there. An existing one is taken as it is.
func (b *Bus) bucket(ctx context.Context, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := b.js.KeyValue(ctx, c.Bucket)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	c.Storage, c.Replicas = jetstream.FileStorage, b.replicas()
	kv, err = b.js.CreateKeyValue(ctx, c)
	if errors.Is(err, jetstream.ErrBucketExists) {
		return b.js.KeyValue(ctx, c.Bucket)
	}
	return kv, err
}

// retryFor is retry bounded in time.
func (b *Bus) retryFor(ctx context.Context, d time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return b.retry(ctx, try)
}
