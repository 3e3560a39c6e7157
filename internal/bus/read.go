package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/events"
)

// ReadConfig says what to read. Stream is required.
type ReadConfig struct {
	Stream events.Stream
	// Filters are subjects, wildcards allowed; none means all of the stream.
	Filters []string
	// From is the first sequence; 0 and 1 mean the first there is.
	From uint64
	// Through is the last sequence; 0 means the stream's last when Read is called.
	Through uint64
}

// errEnough ends a read from within.
var errEnough = errors.New("read to the end")

// Read calls fn with each message in stream order, once, and returns after the last one, or with the first error of fn. It retries while
// the store is away, until ctx ends. A message that does not decode has Err set. A stream that is re-created meanwhile is an error.
func (b *Bus) Read(ctx context.Context, r ReadConfig, fn func(Message) error) error {
	if err := b.read(ctx, r, fn); err != nil {
		return fmt.Errorf("read %s: %w", r.Stream, err)
	}
	return nil
}

func (b *Bus) read(ctx context.Context, r ReadConfig, fn func(Message) error) error {
	end, err := b.tail(ctx, r.Stream, r.Filters)
	if err != nil {
		return err
	}
	through := r.Through
	if through == 0 || through > end {
		through = end
	}
	o := &ordered{b: b, stream: r.Stream, filters: r.Filters, next: max(r.From, 1)}
	defer func() { o.close() }()
	var failed error
	each := func(m Message) error {
		if m.Sequence <= through {
			if failed = fn(m); failed != nil {
				return errEnough
			}
		}
		if m.Sequence >= through {
			return errEnough
		}
		return nil
	}
	for n := uint64(0); o.next <= through; {
		before := o.next
		err := o.step(ctx, each)
		switch {
		case errors.Is(err, errEnough):
			return failed
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !transient(err):
			return err
		case o.next > before:
			n = 0
			continue
		}
		// Nothing came: the last matching message may have been removed meanwhile, by age or size.
		if end, err := b.tail(ctx, r.Stream, r.Filters); err != nil {
			return err
		} else if end < o.next {
			return nil
		}
		n++
		pause(ctx, backoff(n, retryFirst, retryLimit))
	}
	return nil
}

// step opens the reader if it is not, and reads one batch. After an error the next step opens it anew.
func (o *ordered) step(ctx context.Context, fn func(Message) error) error {
	if o.consumer == nil {
		if err := o.b.retry(ctx, o.open); err != nil {
			return err
		}
	}
	err := o.batch(ctx, readBatch, time.Second, fn)
	if err != nil && !errors.Is(err, errEnough) {
		o.close()
	}
	return err
}
