package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"telco-churn-mlops/events"
)

// Message is one stored message.
type Message struct {
	// Event is the decoded event, zero if Err is set.
	Event events.Event
	// Err says why the message is no event of this project.
	Err error
	// Stream, Subject, Sequence and Time (the server's, of storing) say where it stands.
	Stream   events.Stream
	Subject  string
	Sequence uint64
	Time     time.Time
	// Deliveries counts the deliveries by a durable consumer from 1; 0 for a message that was read otherwise.
	Deliveries uint64
	Header     nats.Header
	Data       []byte
}

func newMessage(s events.Stream, subject string, header nats.Header, data []byte) Message {
	m := Message{Stream: s, Subject: subject, Header: header, Data: data}
	m.Event, m.Err = events.Decode(subject, header, data)
	return m
}

// id returns the message id that the message was published with.
func (m Message) id() string { return m.Header.Get(events.HeaderMsgID) }

// Last returns the last message of a type and model, read through the stream's leader, and false if there is none. It may be junk: see
// Message.Err. It retries while the store is away, until ctx ends.
func (b *Bus) Last(ctx context.Context, t events.Type, model string) (Message, bool, error) {
	stream, subject, err := locate(t, model)
	if err != nil {
		return Message{}, false, err
	}
	m, ok, err := b.get(ctx, stream, getRequest{LastFor: subject})
	if err != nil {
		return Message{}, false, fmt.Errorf("read last of %s: %w", subject, err)
	}
	return m, ok, nil
}

// LastValid is Last for the newest message that decodes: it walks back over junk.
func (b *Bus) LastValid(ctx context.Context, t events.Type, model string) (Message, bool, error) {
	last, ok, err := b.Last(ctx, t, model)
	if err != nil || !ok || last.Err == nil {
		return last, ok, err
	}
	var best Message
	found := false
	if last.Sequence > 1 {
		err = b.Read(ctx, ReadConfig{Stream: last.Stream, Filters: []string{last.Subject}, Through: last.Sequence - 1}, func(m Message) error {
			if m.Err == nil {
				best, found = m, true
			}
			return nil
		})
	}
	return best, found, err
}

// Get returns the message with a sequence, read through the leader, and false if it is not there or not there any more.
func (b *Bus) Get(ctx context.Context, s events.Stream, seq uint64) (Message, bool, error) {
	m, ok, err := b.get(ctx, s, getRequest{Seq: seq})
	if err != nil {
		return Message{}, false, fmt.Errorf("read %s sequence %d: %w", s, seq, err)
	}
	return m, ok, nil
}

// Since returns the first message of a type and model that was stored at or after a time, read through the stream's leader, and false if there is none.
// It may be junk: see Message.Err. It retries while the store is away, until ctx ends.
func (b *Bus) Since(ctx context.Context, t events.Type, model string, at time.Time) (Message, bool, error) {
	stream, subject, err := locate(t, model)
	if err != nil {
		return Message{}, false, err
	}
	m, ok, err := b.get(ctx, stream, getRequest{NextFor: subject, Since: &at})
	if err != nil {
		return Message{}, false, fmt.Errorf("read first of %s since %s: %w", subject, at.Format(time.RFC3339), err)
	}
	return m, ok, nil
}

// LastSequence returns the sequence of the last message that the stream ever stored, 0 for a stream that never stored one.
func (b *Bus) LastSequence(ctx context.Context, s events.Stream) (uint64, error) {
	var info streamInfo
	err := b.retry(ctx, func(ctx context.Context) (err error) {
		info, err = b.infoOnce(ctx, s)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read state of %s: %w", s, err)
	}
	return info.State.LastSeq, nil
}

// locate returns the stream and subject of a type and model.
func locate(t events.Type, model string) (events.Stream, string, error) {
	k, ok := events.KindOf(t)
	if !ok {
		return "", "", fmt.Errorf("%w: %q", events.ErrUnknownType, t)
	}
	subject, err := k.Subject(model)
	return k.Stream, subject, err
}
