package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"unsafe"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoAck is what a message of a [Window] has instead of an acknowledgement that did not come: it may be stored or not.
var ErrNoAck = errors.New("not acknowledged")

// Window publishes messages to streams by the hundred and then waits for all their acknowledgements. Each message has its own, which the server
// addresses to the message's place; there are no futures, timers or goroutines per message. BenchmarkPublish has the processor time that client and
// embedded server take together, in microseconds per message of 750 bytes (medians of 6 runs on a busy machine): 19.0 with
// [jetstream.JetStream.PublishMsgAsync], 16.6 with a Window, 14.4 with the server's fast ingest, which acknowledges a batch as one. That is not used:
// it says of a batch that is not whole only how far it came, needs a flag on the stream and a server that knows it, and most of the time is the
// server's storing either way. A Window belongs to one goroutine.
type Window struct {
	nc    *nats.Conn
	acks  *nats.Subscription
	inbox string // with the dot behind it

	reply  []byte // of the next message
	prefix int    // of reply: what the messages of this turn have in common

	mu      sync.Mutex
	turn    uint64 // of Begin; acknowledgements name it
	current []byte // what the subjects of this turn's acknowledgements begin with
	missing int    // acknowledgements that are still to come
	whole   bool   // no more are to be sent in this turn
	errs    []error
	done    chan struct{} // of one: nothing is missing
}

// NewWindow returns a window that listens for its acknowledgements until Close.
func (b *Bus) NewWindow() (*Window, error) {
	w := &Window{nc: b.nc, inbox: b.nc.NewInbox() + ".", done: make(chan struct{}, 1)}
	var err error
	if w.acks, err = b.nc.Subscribe(w.inbox+">", w.acked); err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	return w, nil
}

// Close ends the listening.
func (w *Window) Close() {
	_ = w.acks.Unsubscribe() // of a connection that is closed there is nothing to end
}

// Begin starts anew with room for n messages. Acknowledgements of earlier ones that are still on their way are passed over.
func (w *Window) Begin(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn++
	w.current = append(strconv.AppendUint(append(w.current[:0], w.inbox...), w.turn, 36), '.')
	w.reply = append(w.reply[:0], w.current...)
	w.prefix, w.missing, w.whole = len(w.reply), 0, false
	w.errs = w.errs[:0]
	for range n {
		w.errs = append(w.errs, ErrNoAck)
	}
	select {
	case <-w.done:
	default:
	}
}

// Publish sends message i, from 0. msg is used only during the call, and has no Reply after it. An error means that it was not sent; it is
// what Err returns for i.
func (w *Window) Publish(i int, msg *nats.Msg) error {
	w.reply = strconv.AppendInt(w.reply[:w.prefix], int64(i), 10)
	msg.Reply = unsafe.String(unsafe.SliceData(w.reply), len(w.reply)) // the connection copies it before PublishMsg returns
	w.expect(1)
	err := w.nc.PublishMsg(msg)
	msg.Reply = ""
	if err != nil {
		w.expect(-1)
		w.errs[i] = err // nothing was sent that could be acknowledged
	}
	return err
}

func (w *Window) expect(n int) {
	w.mu.Lock()
	w.missing += n
	w.mu.Unlock()
}

// Wait waits until each message that was sent has been answered, or ctx ends. Then Err can be asked, and nothing more be sent before the next Begin.
func (w *Window) Wait(ctx context.Context) {
	w.mu.Lock()
	w.whole = true
	missing := w.missing
	w.mu.Unlock()
	if missing > 0 {
		select {
		case <-w.done:
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	w.current = w.current[:0] // what is late is not taken
	w.mu.Unlock()
}

// acked takes one acknowledgement.
func (w *Window) acked(ack *nats.Msg) {
	err := refusal(ack)
	w.mu.Lock()
	defer w.mu.Unlock()
	rest, ours := bytes.CutPrefix(unsafe.Slice(unsafe.StringData(ack.Subject), len(ack.Subject)), w.current)
	i, ok := place(rest)
	if !ours || len(w.current) == 0 || !ok || i >= len(w.errs) || w.missing == 0 {
		return // of an earlier turn
	}
	w.errs[i] = err
	if w.missing--; w.missing == 0 && w.whole {
		w.done <- struct{}{} // which Begin has emptied, and this happens once a turn
	}
}

// Err returns nil where message i was stored, now or by an earlier publish with the same message id; the server's refusal, which is permanent if
// the message is larger than the stream takes; or [ErrNoAck].
func (w *Window) Err(i int) error { return w.errs[i] }

// place reads a message's place.
func place(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || len(digits) > 9 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// refusal returns why a message was not stored, nil where it was.
func refusal(ack *nats.Msg) error {
	if len(ack.Data) == 0 { // a status: no stream listens on the subject
		return nats.ErrNoResponders
	}
	if bytes.HasPrefix(ack.Data, []byte(`{"stream":`)) && !bytes.Contains(ack.Data, []byte(`"error"`)) {
		return nil
	}
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	switch err := json.Unmarshal(ack.Data, &answer); {
	case err != nil:
		return fmt.Errorf("%w: the answer %.100q: %w", ErrNoAck, ack.Data, err)
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return Permanent(answer.Error)
	case answer.Error != nil:
		return answer.Error
	case answer.Stream == "":
		return fmt.Errorf("%w: the answer %.100q", ErrNoAck, ack.Data)
	}
	return nil
}
