package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"telco-churn-mlops/events"
)

// An ordered reader is an ephemeral consumer without acks that is read in batches. It is written out here rather than taken from the client
// because a fold needs what that does not give: an end that is known from the leader (a consumer may live on a replica that lags, so that
// "nothing pending" there is no proof), notice of a stream that was re-created or cut short, and a context that ends every wait.

const (
	readBatch     = 1024
	readExpiry    = 20 * time.Second
	readHeartbeat = 2 * time.Second
	idleConsumer  = 2 * time.Minute // the server drops an ephemeral consumer that nobody asked for so long
)

var errOrder = errors.New("messages arrived out of order")

type ordered struct {
	b       *Bus
	stream  events.Stream
	filters []string
	next    uint64 // stream sequence to go on from

	consumer jetstream.Consumer
	delivery uint64 // consumer sequence of the last message
}

// open creates the consumer at next.
func (o *ordered) open(ctx context.Context) error {
	c, err := o.b.js.CreateConsumer(ctx, string(o.stream), jetstream.ConsumerConfig{
		Name:              "read-" + nuid.Next(),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       max(o.next, 1),
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		FilterSubjects:    o.filters,
		InactiveThreshold: idleConsumer,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return fmt.Errorf("create reader: %w", err)
	}
	o.consumer, o.delivery = c, 0
	return nil
}

// close deletes the consumer, if it can be done at once; else the server does later.
func (o *ordered) close() {
	if o.consumer == nil || !o.b.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := o.b.js.DeleteConsumer(ctx, string(o.stream), o.consumer.CachedInfo().Name); err != nil {
		o.b.log.Debug("delete reader", "stream", string(o.stream), "err", err)
	}
	o.consumer = nil
}

// batch fetches up to n messages and passes each to fn as it comes. It returns when n came, the wait is over, ctx ends, or with the
// error of fn or of the fetch; the caller then opens the reader again at next.
func (o *ordered) batch(ctx context.Context, n int, wait time.Duration, fn func(Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opts := []jetstream.FetchOpt{jetstream.FetchMaxWait(wait)}
	if wait > 2*readHeartbeat {
		opts = append(opts, jetstream.FetchHeartbeat(readHeartbeat))
	}
	got, err := o.consumer.Fetch(n, opts...)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case msg, ok := <-got.Messages():
			if !ok {
				if err := got.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
					return fmt.Errorf("fetch: %w", err)
				}
				return nil
			}
			m, err := o.accept(msg)
			if err != nil {
				return err
			}
			if err := fn(m); err != nil {
				return err
			}
			o.next = m.Sequence + 1
		}
	}
}

// accept checks that nothing was left out and decodes the message.
func (o *ordered) accept(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read metadata: %w", err)
	}
	if meta.Sequence.Consumer != o.delivery+1 {
		return Message{}, errOrder
	}
	o.delivery++
	m := newMessage(o.stream, msg.Subject(), msg.Headers(), msg.Data())
	m.Sequence, m.Time = meta.Sequence.Stream, meta.Timestamp
	return m, nil
}

// tail returns the sequence of the last message that matches any filter, through the leader; 0 if there is none.
func (b *Bus) tail(ctx context.Context, s events.Stream, filters []string) (uint64, error) {
	if len(filters) == 0 {
		filters = wildcards(s)
	}
	var last uint64
	for _, f := range filters {
		var seq uint64
		err := b.retry(ctx, func(ctx context.Context) error {
			m, _, err := b.getOnce(ctx, s, getRequest{LastFor: f})
			seq = m.Sequence
			return err
		})
		if err != nil {
			return 0, err
		}
		last = max(last, seq)
	}
	return last, nil
}
