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

// Read calls fn with each message in stream order, once, and returns after the last one, or with the first error of fn. It retries while
// the store is away, until ctx ends. A message that does not decode has Err set. A stream that is re-created meanwhile is an error.
func (b *Bus) Read(ctx context.Context, r ReadConfig, fn func(Message) error) error {
	if err := b.read(ctx, r, fn); err != nil {
		return fmt.Errorf("read %s: %w", r.Stream, err)
	}
	return nil
}

func (b *Bus) read(ctx context.Context, r ReadConfig, fn func(Message) error) error {
	created, end, err := b.extent(ctx, r)
	if err != nil {
		return err
	}
	through := min(r.Through, end)
	if r.Through == 0 {
		through = end
	}
	o := &ordered{b: b, stream: r.Stream, filters: r.Filters, next: max(r.From, 1)}
	defer func() { o.close() }()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for n := uint64(0); o.next <= through; {
		if err := b.retry(ctx, o.open); err != nil {
			return err
		}
		m, err := o.read(ctx, look.C)
		switch {
		case err == nil:
			n = 0
			if m.Sequence > through {
				return nil
			}
			if err := fn(m); err != nil {
				return err
			}
			o.next = m.Sequence + 1
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !transient(err):
			return err
		}
		// Nothing came, or the reader broke: the last matching message may have been removed meanwhile, by age or size, or all of them.
		now, end, err := b.extent(ctx, r)
		switch {
		case err != nil:
			return err
		case !now.Equal(created):
			return errors.New("stream was re-created meanwhile")
		case end < o.next:
			return nil
		}
		n++
		pause(ctx, backoff(n, retryFirst, retryLimit))
	}
	return nil
}

// extent returns when the stream was created and the sequence of the last message that matches.
func (b *Bus) extent(ctx context.Context, r ReadConfig) (created time.Time, end uint64, err error) {
	var info streamInfo
	err = b.retry(ctx, func(ctx context.Context) (err error) {
		info, err = b.infoOnce(ctx, r.Stream)
		return err
	})
	if err == nil {
		end, err = b.tail(ctx, r.Stream, r.Filters)
	}
	return info.Created, end, err
}
