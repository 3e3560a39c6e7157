package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A message that kills its process comes again for ever, and takes every process that handles it down. The server's count of deliveries does not tell
// it from an innocent one: messages that were given back by a handler's error are delivered again too, and so are those that merely waited behind the
// killer. What tells is evidence of beginning without end. It is kept in a bucket of its own, and only for suspects, so that the usual
// message costs nothing:
//
//   - deliveries 1 and 2 are handled without a record of their beginning;
//   - from the third on, a key "durable.sequence.time" with the number of beginnings is written before the handler is called;
//   - a handler that ended with an error sets the number to 0, at any delivery; one that is done with the message removes the key;
//   - a message whose handler began MaxPoison times without any end in between is poison. Where nothing is recorded at the third delivery,
//     the first two count as begun.
//
// The record is not written by compare-and-set: two processes hold one message only after a lease ran out, and a count off by one does no harm.

const (
	suspects        = "BUS_SUSPECTS"
	unrecorded      = 2
	suspectsMaxAge  = 30 * day
	suspectsMaxSize = 2 << 20
)

type poison struct {
	b  *Bus
	c  ConsumerConfig
	kv jetstream.KeyValue
}

func (p *poison) key(m Message) string {
	return p.c.Durable + "." + strconv.FormatUint(m.Sequence, 10) + "." + strconv.FormatInt(m.Time.UnixNano(), 10)
}

// begin records that a handler is about to begin with a suspect, and reports whether it is poison. An error means that the record could not be
// written: the message should come again later.
func (p *poison) begin(ctx context.Context, m Message) (bool, error) {
	if m.Deliveries <= unrecorded {
		return false, nil
	}
	isPoison := false
	err := p.b.retryFor(ctx, tryTimeout, func(ctx context.Context) error {
		kv, err := p.bucket(ctx)
		if err != nil {
			return err
		}
		begun := unrecorded
		entry, err := kv.Get(ctx, p.key(m))
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			p.kv = nil // the bucket may have been deleted
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
	var api *jetstream.APIError
	if errors.As(err, &api) {
		// The bucket is full, or not ours to write. Better a message that may be poison than one that is never handled.
		p.b.log.Error("beginning of a suspect not recorded", "consumer", p.c.Durable, "subject", m.Subject, "sequence", m.Sequence, "err", err)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("record beginning: %w", err)
	}
	return isPoison, nil
}

// failed records that the handler came to an end, although not to a good one.
func (p *poison) failed(m Message) {
	p.record(m, func(ctx context.Context, kv jetstream.KeyValue) error {
		_, err := kv.PutString(ctx, p.key(m), "0")
		return err
	})
}

// done removes what was recorded of a message that will not come again.
func (p *poison) done(m Message) {
	if m.Deliveries > 1 {
		p.record(m, func(ctx context.Context, kv jetstream.KeyValue) error { return kv.Purge(ctx, p.key(m)) })
	}
}

// record writes for a few seconds at most. A record that is lost makes an end look like a death, once.
func (p *poison) record(m Message, write func(context.Context, jetstream.KeyValue) error) {
	err := p.b.retryFor(context.Background(), tryTimeout, func(ctx context.Context) error {
		kv, err := p.bucket(ctx)
		if err != nil {
			return err
		}
		return write(ctx, kv)
	})
	if err != nil {
		p.b.log.Warn("end of a suspect not recorded", "consumer", p.c.Durable, "subject", m.Subject, "sequence", m.Sequence, "err", err)
	}
}

// bucket opens the bucket, making it the first time.
func (p *poison) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	if p.kv != nil {
		return p.kv, nil
	}
	kv, err := p.b.suspects(ctx)
	if err == nil {
		p.kv = kv
	}
	return kv, err
}

// suspects opens the bucket of the records.
func (b *Bus) suspects(ctx context.Context) (jetstream.KeyValue, error) {
	return b.bucket(ctx, jetstream.KeyValueConfig{
		Bucket: suspects, Description: "Messages whose handler began and did not end yet; see bus/poison.go.",
		TTL: suspectsMaxAge, MaxBytes: suspectsMaxSize,
	})
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
