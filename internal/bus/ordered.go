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
	readBatch    = 8192
	idleConsumer = 2 * time.Minute // the server drops an ephemeral consumer that nobody asked for so long
)

var errOrder = errors.New("messages arrived out of order")

type ordered struct {
	b       *Bus
	stream  events.Stream
	filters []string
	next    uint64 // stream sequence to go on from
	raw     bool   // leave messages undecoded

	name     string // of the consumer, empty if none is open
	pull     *puller
	delivery uint64 // consumer sequence of the last message
}

// open creates the consumer at next, if none is open.
func (o *ordered) open(ctx context.Context) error {
	if o.pull != nil {
		return nil
	}
	name := "read-" + nuid.Next()
	_, err := o.b.js.CreateConsumer(ctx, string(o.stream), jetstream.ConsumerConfig{
		Name:              name,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       max(o.next, 1),
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubjects:    o.filters,
		InactiveThreshold: idleConsumer,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return fmt.Errorf("create reader: %w", err)
	}
	if o.pull, err = o.b.puller(o.stream, name, readBatch); err != nil {
		return err
	}
	o.name, o.delivery = name, 0
	return nil
}

// close stops reading and deletes the consumer, if that can be done at once; else the server does later.
func (o *ordered) close() {
	if o.pull == nil {
		return
	}
	o.pull.stop()
	o.pull = nil
	if !o.b.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := o.b.js.DeleteConsumer(ctx, string(o.stream), o.name); err != nil {
		o.b.log.Debug("delete reader", "stream", string(o.stream), "err", err)
	}
}

// read returns the next message. After an error other than errLook the reader is closed; open continues it at next, which the caller
// moves on.
func (o *ordered) read(ctx context.Context, look <-chan time.Time) (Message, error) {
	msg, err := o.pull.next(ctx, readBatch, look)
	if err == nil {
		var m Message
		if m, err = o.accept(msg); err == nil {
			return m, nil
		}
	}
	if !errors.Is(err, errLook) {
		o.close()
	}
	return Message{}, err
}

// accept checks that nothing was left out and decodes the message.
func (o *ordered) accept(msg *nats.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read metadata: %w", err)
	}
	if meta.Sequence.Consumer != o.delivery+1 {
		return Message{}, errOrder
	}
	o.delivery++
	m := Message{Stream: o.stream, Subject: msg.Subject, Header: msg.Header, Data: msg.Data}
	if !o.raw {
		m = newMessage(o.stream, msg.Subject, msg.Header, msg.Data)
	}
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
