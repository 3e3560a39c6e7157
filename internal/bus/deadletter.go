package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"telco-churn-mlops/events"
)

// maxDeadData is how much of a message's data a dead letter keeps.
const maxDeadData = 64 << 10

// DeadLetter stores a message that can never be handled, with the reason, and returns after it is stored. One message is one letter, whoever
// could not handle it and however often: its id is made of stream, sequence and the time of storing.
func (b *Bus) DeadLetter(ctx context.Context, m Message, consumer, reason string) error {
	d := events.DeadLetter{
		Stream: string(m.Stream), Sequence: m.Sequence, Subject: m.Subject, Consumer: consumer, Reason: reason,
		Deliveries: m.Deliveries, Header: m.Header, Data: m.Data, At: time.Now().UTC(),
	}
	if len(d.Data) > maxDeadData {
		d.Data, d.Truncated = d.Data[:maxDeadData], true
	}
	data, err := json.Marshal(d)
	if err != nil {
		return Permanent(fmt.Errorf("encode dead letter: %w", err))
	}
	token, err := events.Token(consumer)
	if err != nil {
		return Permanent(fmt.Errorf("dead letter consumer: %w", err))
	}
	msg := nats.NewMsg(events.DeadPrefix + "." + string(m.Stream) + "." + token)
	msg.Data = data
	msg.Header.Set(events.HeaderContentType, "application/json")
	msg.Header.Set(events.HeaderMsgID, fmt.Sprintf("dead/%s/%d/%d", m.Stream, m.Sequence, m.Time.UnixNano()))
	var ack uint64
	var duplicate bool
	err = b.retry(ctx, func(ctx context.Context) error {
		a, err := b.js.PublishMsg(ctx, copyMsg(msg))
		if err != nil {
			return b.refused(err, msg)
		}
		ack, duplicate = a.Sequence, a.Duplicate
		return nil
	})
	if err != nil {
		return fmt.Errorf("store dead letter of %s sequence %d: %w", m.Stream, m.Sequence, err)
	}
	if !duplicate {
		b.metrics.deadLetters.WithLabelValues(string(m.Stream)).Inc()
		b.log.Error("dead letter stored", "consumer", consumer, "subject", m.Subject, "stream", string(m.Stream), "sequence", m.Sequence,
			"dead_sequence", ack, "reason", reason)
	}
	return nil
}

// DeadLetters calls fn with each dead letter that is stored now, oldest first; seq is its own sequence, for [Bus.RetryDeadLetter].
func (b *Bus) DeadLetters(ctx context.Context, fn func(seq uint64, d events.DeadLetter) error) error {
	return b.Read(ctx, ReadConfig{Stream: events.Dead, Filters: []string{events.DeadPrefix + ".>"}}, func(m Message) error {
		d, err := decodeDeadLetter(m)
		if err != nil {
			b.log.Warn("dead letter cannot be read", "sequence", m.Sequence, "err", err)
			return nil
		}
		return fn(m.Sequence, d)
	})
}

func decodeDeadLetter(m Message) (events.DeadLetter, error) {
	var d events.DeadLetter
	if err := json.Unmarshal(m.Data, &d); err != nil {
		return d, fmt.Errorf("decode dead letter: %w", err)
	}
	return d, nil
}

// RetryDeadLetter publishes the original of a dead letter to its subject again, as a new message with a fresh message id, and then removes the
// letter; if it cannot be handled again it becomes a new letter. A message of LIFECYCLE is refused with [ErrNotRetriable]: it was a
// compare-and-set against a sequence that is past, so its publisher has to decide anew. So is one whose data is not whole any more.
func (b *Bus) RetryDeadLetter(ctx context.Context, seq uint64) error {
	m, ok, err := b.Get(ctx, events.Dead, seq)
	if err != nil {
		return err
	}
	if !ok || !strings.HasPrefix(m.Subject, events.DeadPrefix+".") {
		return Permanent(fmt.Errorf("retry dead letter %d: %w: there is none with this sequence", seq, ErrNotRetriable))
	}
	d, err := decodeDeadLetter(m)
	if err != nil {
		return Permanent(fmt.Errorf("retry dead letter %d: %w: %w", seq, ErrNotRetriable, err))
	}
	if events.Stream(d.Stream) == events.Lifecycle {
		return Permanent(fmt.Errorf("retry dead letter %d: %w: %s is written by compare-and-set, the publisher must decide anew", seq, ErrNotRetriable, d.Subject))
	}
	if d.Truncated {
		orig, ok, err := b.Get(ctx, events.Stream(d.Stream), d.Sequence)
		if err != nil {
			return err
		}
		if !ok || orig.Subject != d.Subject {
			return Permanent(fmt.Errorf("retry dead letter %d: %w: its data was cut and the original is gone", seq, ErrNotRetriable))
		}
		d.Data, d.Header = orig.Data, orig.Header
	}
	msg := nats.NewMsg(d.Subject)
	msg.Data = d.Data
	for k, v := range d.Header {
		if !strings.HasPrefix(strings.ToLower(k), "nats-") { // expectations, schedules and the old id belong to the first publish
			msg.Header[k] = v
		}
	}
	msg.Header.Set(events.HeaderMsgID, "retry/"+nuid.Next())
	if _, err := b.store(ctx, events.Stream(d.Stream), msg); err != nil {
		return fmt.Errorf("retry dead letter %d: %w", seq, err)
	}
	return b.forget(ctx, seq)
}

// forget removes a dead letter.
func (b *Bus) forget(ctx context.Context, seq uint64) error {
	err := b.retry(ctx, func(ctx context.Context) error {
		var resp struct{}
		err := b.api(ctx, "STREAM.MSG.DELETE."+string(events.Dead), map[string]any{"seq": seq, "no_erase": true}, &resp)
		if err == nil {
			return nil
		}
		if _, there, getErr := b.getOnce(ctx, events.Dead, getRequest{Seq: seq}); getErr == nil && !there {
			return nil // an earlier try did it
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove dead letter %d: %w", seq, err)
	}
	return nil
}
