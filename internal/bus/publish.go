package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
)

// Receipt says where a published event stands.
type Receipt struct {
	Sequence uint64
	// Duplicate is true if the message was there already, from an earlier try or another process with the same event id.
	Duplicate bool
}

// PublishOption adjusts one publish.
type PublishOption func(*nats.Msg)

// WithHeader adds a header, for instance those of a schedule.
func WithHeader(key, value string) PublishOption {
	return func(m *nats.Msg) { m.Header.Set(key, value) }
}

// Msg returns the message of an event, for a caller that publishes it himself. Its message id is the event's id. The error of an event that breaks
// the contract is permanent.
func (b *Bus) Msg(ev events.Event) (*nats.Msg, error) {
	subject, header, data, err := ev.Encode()
	if err != nil {
		return nil, Permanent(fmt.Errorf("encode event: %w", err))
	}
	return &nats.Msg{Subject: subject, Header: header, Data: data}, nil
}

// Publish stores an event and returns after the server said so. While the server is away, electing or full it tries again, with the same
// message id, until ctx ends (a cluster elects for 5 to 8 s; without a deadline it waits as long as it takes). An event that breaks the contract, or that the server refuses
// as such, is a permanent error. A duplicate is a success only if the message it duplicates is there and carries our id.
func (b *Bus) Publish(ctx context.Context, ev events.Event, opts ...PublishOption) (Receipt, error) {
	msg, err := b.Msg(ev)
	if err != nil {
		return Receipt{}, err
	}
	for _, o := range opts {
		o(msg)
	}
	k, _ := events.KindOf(ev.Payload.EventType())
	r, err := b.store(ctx, k.Stream, msg)
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: %w", msg.Subject, err)
	}
	return r, nil
}

// store publishes msg until it is acked.
func (b *Bus) store(ctx context.Context, s events.Stream, msg *nats.Msg) (Receipt, error) {
	var r Receipt
	err := b.retry(ctx, func(ctx context.Context) error {
		ack, err := b.js.PublishMsg(ctx, copyMsg(msg))
		if err != nil {
			return b.refused(err, msg)
		}
		r = Receipt{Sequence: ack.Sequence, Duplicate: ack.Duplicate}
		if !ack.Duplicate {
			return nil
		}
		stored, ok, err := b.getOnce(ctx, s, getRequest{Seq: ack.Sequence})
		switch {
		case err != nil:
			return err
		case !ok:
			return errSwallowed
		case stored.id() != msg.Header.Get(events.HeaderMsgID) || stored.Subject != msg.Subject:
			return Permanent(fmt.Errorf("taken for a duplicate of %s sequence %d, which is not ours", stored.Subject, stored.Sequence))
		}
		return nil
	})
	switch {
	case err != nil:
		b.metrics.published.WithLabelValues(string(s), "failed").Inc()
		return Receipt{}, err
	case r.Duplicate:
		b.metrics.published.WithLabelValues(string(s), "duplicate").Inc()
	default:
		b.metrics.published.WithLabelValues(string(s), "stored").Inc()
	}
	return r, nil
}

// refused marks what the server or client will refuse again as permanent.
func (b *Bus) refused(err error, msg *nats.Msg) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return Permanent(fmt.Errorf("the data make a message of %d bytes, at most %d are possible: %w", msg.Size(), b.nc.MaxPayload(), err))
	case errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrInvalidMsg):
		return Permanent(err)
	case errors.As(err, &api) && api.Code == 400 && !transient(err):
		return Permanent(err)
	}
	return err
}

// copyMsg returns a message that may be sent while msg is kept for another try.
func copyMsg(msg *nats.Msg) *nats.Msg {
	c := &nats.Msg{Subject: msg.Subject, Data: msg.Data, Header: make(nats.Header, len(msg.Header))}
	for k, v := range msg.Header {
		c.Header[k] = v
	}
	return c
}

// Append stores an event if the last sequence of its subject is still expected (0: no message yet), and returns its sequence. Of all writers
// that expect the same sequence exactly one wins.
//
// No verdict follows from an error of the server: a retry of our own may be refused because its first try was stored. Whatever the answer, the
// message that follows expected on the subject decides, read through the leader: it is the one that won. If it carries our event id it
// is ours; if not, the error is a [*ConflictError]; if there is none yet, Append tries again, with the same message id. When ctx
// ends before that is known, [Unknown] is true of the error: the event may be stored, now or a moment later.
func (b *Bus) Append(ctx context.Context, ev events.Event, expected uint64) (uint64, error) {
	msg, err := b.Msg(ev)
	if err != nil {
		return 0, err
	}
	k, _ := events.KindOf(ev.Payload.EventType())
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expected, 10))
	var seq uint64
	tries := 0
	err = b.retry(ctx, func(ctx context.Context) error {
		tries++
		ack, err := b.js.PublishMsg(ctx, copyMsg(msg))
		if err == nil && !ack.Duplicate {
			seq = ack.Sequence
			return nil
		}
		if r := b.refused(err, msg); err != nil && IsPermanent(r) && !wrongSequence(err) {
			return r
		}
		cause := err
		if err == nil && ack.Sequence <= expected {
			return Permanent(fmt.Errorf("event id %q was used before, at sequence %d", ev.ID, ack.Sequence))
		}
		seq, err = b.winner(ctx, k.Stream, msg, expected, wrongSequence(cause) && tries > patience)
		if errors.Is(err, errNoWinner) && cause != nil {
			return fmt.Errorf("%w: %w", errNoWinner, cause)
		}
		return err
	})
	var conflict *ConflictError
	switch {
	case err == nil:
		b.metrics.published.WithLabelValues(string(k.Stream), "stored").Inc()
		return seq, nil
	case errors.As(err, &conflict):
		b.metrics.published.WithLabelValues(string(k.Stream), "conflict").Inc()
		return 0, conflict
	}
	b.metrics.published.WithLabelValues(string(k.Stream), "failed").Inc()
	err = fmt.Errorf("append %s: %w", msg.Subject, err)
	if tries > 0 && !IsPermanent(err) {
		return 0, &unknownError{err}
	}
	return 0, err
}

// patience is the number of refused tries after which Append believes that the expected sequence does not exist; before that, a leader may just
// not have applied what its predecessor stored.
const patience = 5

var errNoWinner = errors.New("no message follows the expected one yet")

// winner returns the sequence of our message if it is the one that follows expected on its subject. giveUp says that the server keeps
// refusing: expected itself is not on the subject, which is a conflict too.
func (b *Bus) winner(ctx context.Context, s events.Stream, msg *nats.Msg, expected uint64, giveUp bool) (uint64, error) {
	next, ok, err := b.getOnce(ctx, s, getRequest{Seq: expected + 1, NextFor: msg.Subject})
	if err != nil {
		return 0, err
	}
	if !ok && !giveUp {
		return 0, errNoWinner
	}
	if ok && next.id() == msg.Header.Get(events.HeaderMsgID) {
		return next.Sequence, nil
	}
	last, ok, err := b.getOnce(ctx, s, getRequest{LastFor: msg.Subject})
	if err != nil {
		return 0, err
	}
	if !ok {
		last = Message{Stream: s, Subject: msg.Subject}
	}
	return 0, &ConflictError{Expected: expected, Last: last}
}

// wrongSequence reports whether the server refused a compare-and-set, for whatever reason.
func wrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
