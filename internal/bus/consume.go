package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
)

const (
	// DefaultAckWait is how long the server waits for an outcome or an extension before it delivers again.
	DefaultAckWait = 10 * time.Second
	// DefaultMaxPoison is the number of times a handler may begin a message and never end before the message counts as poison.
	DefaultMaxPoison = 10

	maxFetch    = 256
	stopGrace   = 5 * time.Second
	settleGrace = 3 * time.Second
)

// ConsumerConfig says what to consume. Durable and Stream are required.
type ConsumerConfig struct {
	// Durable is the consumer's name on the server, which keeps its position. Processes that share it share the work.
	Durable string
	Stream  events.Stream
	// Filters are subjects, wildcards allowed; none means all of the stream.
	Filters []string
	// MaxAckPending bounds the messages in hand of all processes together; 0 and 1 mean strictly in order, one at a time.
	MaxAckPending int
	// One has this process take a message only once the one before it is done, for work that takes long and that other processes could do meanwhile.
	// Without it messages wait in the process for their turn.
	One bool
	// AckWait: 0 means DefaultAckWait. A handler may take longer, the lease is extended while it runs.
	AckWait time.Duration
	// MaxPoison: 0 means DefaultMaxPoison; the least is 3.
	MaxPoison int
}

func (c *ConsumerConfig) complete() error {
	if !events.PlainName(c.Durable) || c.Stream == "" {
		return fmt.Errorf("consume: durable %q and stream %q are required, the durable of letters, digits, - and _", c.Durable, c.Stream)
	}
	if c.MaxAckPending <= 0 {
		c.MaxAckPending = 1
	}
	if c.AckWait <= 0 {
		c.AckWait = DefaultAckWait
	}
	if c.MaxPoison <= 0 {
		c.MaxPoison = DefaultMaxPoison
	}
	c.MaxPoison = max(c.MaxPoison, unrecorded+1)
	return nil
}

// Consume calls handle with each message of a durable consumer, one at a time, and blocks until ctx ends (then it returns nil) or the bus is closed.
//
// A message ends in exactly one way. Handled without an error: acked, and the server's answer to that awaited. A permanent error, a panic
// or a message that does not decode: a dead letter is stored, then the message is terminated. Any other error: given back with a
// delay, doubled from 100 ms to 30 s by the number of tries; after five tries that is logged as an error. An error that [RetryAfter] marked is no failure but a
// wait: given back for the time it says, with no warning. Deliveries are unlimited. A message
// comes again after a kill even if it was acked within the last 100 ms before, so handlers must be idempotent.
//
// While a message is in hand its lease is extended every third of AckWait, and the server's answer is awaited; if none came for AckWait, the message may
// have gone to another process and the handler's context ends. When ctx ends, the handler has 5 s to come to an end before its context ends too; its outcome still counts, and what was not begun is given
// back at once. A consumer or stream that was deleted is made again. How a message that kills the process is recognised: see poison.go.
func (b *Bus) Consume(ctx context.Context, c ConsumerConfig, handle func(context.Context, Message) error) error {
	if err := c.complete(); err != nil {
		return err
	}
	w := &worker{b: b, c: c, handle: handle, poison: &poison{b: b, c: c, ends: make(map[string]ending)}, held: make(map[string]*held)}
	for n := uint64(0); ; {
		progress, err := w.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case b.nc.IsClosed():
			return fmt.Errorf("consume %s: %w", c.Durable, ErrClosed)
		case err == nil || progress:
			n = 0
		default:
			n++
		}
		if n == alarmAfter {
			b.log.Error("stream cannot be consumed, still trying", "consumer", c.Durable, "stream", string(c.Stream), "err", err)
		}
		if err != nil {
			pause(ctx, backoff(n, retryFirst, retryLimit))
		}
	}
}

// worker is one running Consume.
type worker struct {
	b      *Bus
	c      ConsumerConfig
	handle func(context.Context, Message) error
	poison *poison

	mu   sync.Mutex
	held map[string]*held // by reply subject: what is in hand and not settled
}

// held is one message whose lease we hold.
type held struct {
	reply    string
	extended time.Time               // when the last extension that the server answered was sent
	cancel   context.CancelCauseFunc // of its handler; nil while it waits for its turn
}

var errLeaseNotExtended = errors.New("lease of the message could not be extended")

// session makes the consumer and handles messages until something fails. It reports whether any message came.
func (w *worker) session(ctx context.Context) (progress bool, err error) {
	err = w.b.retry(ctx, func(ctx context.Context) error {
		_, err := w.b.js.CreateOrUpdateConsumer(ctx, string(w.c.Stream), jetstream.ConsumerConfig{
			Durable:        w.c.Durable,
			DeliverPolicy:  jetstream.DeliverAllPolicy,
			AckPolicy:      jetstream.AckExplicitPolicy,
			AckWait:        w.c.AckWait,
			MaxDeliver:     -1,
			MaxAckPending:  w.c.MaxAckPending,
			FilterSubjects: w.c.Filters,
		})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("make consumer %s: %w", w.c.Durable, err)
	}
	batch := min(w.c.MaxAckPending, maxFetch)
	if w.c.One {
		batch = 1
	}
	turn := make(chan struct{}, 1) // with One, held from before a message is asked for until it is done
	pull, err := w.b.puller(w.c.Stream, w.c.Durable, batch)
	if err != nil {
		return false, err
	}
	// What arrives is taken in at once, so that its lease is extended while it waits for its turn.
	queue := make(chan *nats.Msg, batch)
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	var others sync.WaitGroup
	others.Go(func() { w.keep(keeping) })
	others.Go(func() {
		defer close(queue)
		for {
			if w.c.One {
				select {
				case turn <- struct{}{}:
				case <-ctx.Done():
					err = context.Cause(ctx)
					return
				}
			}
			var msg *nats.Msg
			if msg, err = pull.next(ctx, batch, nil); err != nil {
				return
			}
			w.hold(msg)
			queue <- msg
		}
	})
	for msg := range queue {
		progress = true
		if ctx.Err() != nil {
			w.giveBack(msg)
		} else {
			w.take(ctx, msg)
		}
		if w.c.One {
			<-turn
		}
	}
	stopKeeping()
	others.Wait()
	for _, msg := range pull.stop() {
		w.giveBack(msg)
	}
	return progress, err
}

// hold begins to extend the lease of a message.
func (w *worker) hold(msg *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[msg.Reply] = &held{reply: msg.Reply, extended: time.Now()}
}

// release ends that.
func (w *worker) release(msg *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, msg.Reply)
}

// giveBack returns a message that was not begun, without waiting: if it gets lost the lease runs out.
func (w *worker) giveBack(msg *nats.Msg) {
	w.release(msg)
	if err := w.b.nc.Publish(msg.Reply, []byte("-NAK")); err != nil {
		w.b.log.Debug("message not given back", "consumer", w.c.Durable, "subject", msg.Subject, "err", err)
	}
}

// keep extends the lease of everything in hand every third of AckWait.
func (w *worker) keep(ctx context.Context) {
	for pause(ctx, w.c.AckWait/3) {
		w.mu.Lock()
		var current *held
		for _, h := range w.held {
			if h.cancel != nil {
				current = h
			} else if err := w.b.nc.Publish(h.reply, []byte("+WPI")); err != nil {
				w.b.log.Debug("lease not extended", "consumer", w.c.Durable, "err", err)
			}
		}
		w.mu.Unlock()
		if current != nil {
			w.extend(ctx, current)
		}
	}
}

// extend asks the server for another AckWait, and ends the handler's context if it has not agreed for so long.
func (w *worker) extend(ctx context.Context, h *held) {
	asked := time.Now()
	one, cancel := context.WithTimeout(ctx, w.c.AckWait/3)
	defer cancel()
	_, err := w.b.nc.RequestWithContext(one, h.reply, []byte("+WPI"))
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		h.extended = asked
		return
	}
	if time.Since(h.extended) >= w.c.AckWait {
		w.b.log.Warn("lease of a message lost", "consumer", w.c.Durable, "err", err)
		h.cancel(errLeaseNotExtended)
	}
}

// settle tells the server the outcome of a message and waits for its answer, trying for some seconds. An outcome that does not arrive means that the message
// comes again.
func (w *worker) settle(msg *nats.Msg, outcome string) {
	err := w.b.retryFor(context.Background(), settleGrace, func(ctx context.Context) error {
		one, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := w.b.nc.RequestWithContext(one, msg.Reply, []byte(outcome))
		if errors.Is(err, nats.ErrNoResponders) && w.gone(one) {
			return Permanent(jetstream.ErrConsumerNotFound)
		}
		return err
	})
	w.release(msg)
	if err != nil {
		w.b.log.Warn("outcome did not reach the server, the message will come again", "consumer", w.c.Durable, "subject", msg.Subject, "err", err)
	}
}

// gone reports whether the server says that the consumer was deleted, as opposed to electing its leader.
func (w *worker) gone(ctx context.Context) bool {
	_, err := w.b.js.Consumer(ctx, string(w.c.Stream), w.c.Durable)
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// take handles one message and settles it.
func (w *worker) take(ctx context.Context, msg *nats.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		w.release(msg)
		w.b.log.Error("message without metadata", "consumer", w.c.Durable, "subject", msg.Subject, "err", err)
		return
	}
	m := newMessage(w.c.Stream, msg.Subject, msg.Header, msg.Data)
	m.Sequence, m.Time, m.Deliveries = meta.Sequence.Stream, meta.Timestamp, meta.NumDelivered
	if m.Err != nil {
		w.bury(ctx, msg, m, m.Err.Error(), "dead")
		return
	}
	if w.poison.begin(m) {
		w.bury(ctx, msg, m, fmt.Sprintf("poison: begun %d times and never ended", w.c.MaxPoison), "poison")
		return
	}
	err = w.run(ctx, msg, m)
	switch {
	case err == nil:
		w.poison.done(m)
		w.b.metrics.handled.WithLabelValues(w.c.Durable, "done").Inc()
		w.b.metrics.failing.WithLabelValues(w.c.Durable).Set(0)
		w.settle(msg, "+ACK")
	case IsPermanent(err):
		w.bury(ctx, msg, m, err.Error(), "dead")
	case ctx.Err() != nil:
		w.poison.failed(m)
		w.settle(msg, "-NAK") // we were told to stop, which is not the message's fault
	case isWait(err):
		w.poison.waits(m)
		w.b.failed(w.c.Durable, m, m.Deliveries, err)
		w.settle(msg, nak(retryDelay(err, m.Deliveries)))
	default:
		w.poison.failed(m)
		w.b.failed(w.c.Durable, m, m.Deliveries, err)
		w.settle(msg, nak(retryDelay(err, m.Deliveries)))
	}
}

func nak(d time.Duration) string { return fmt.Sprintf(`-NAK {"delay": %d}`, d.Nanoseconds()) }

// run calls the handler on a context that ends when the lease is lost, or some time after ctx.
func (w *worker) run(ctx context.Context, msg *nats.Msg, m Message) error {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	w.mu.Lock()
	if h := w.held[msg.Reply]; h != nil {
		h.cancel = cancel
	}
	w.mu.Unlock()
	stopping := context.AfterFunc(ctx, func() {
		if pause(own, stopGrace) {
			cancel(context.Cause(ctx))
		}
	})
	defer stopping()
	return call(own, w.b, w.c.Durable, m, w.handle)
}

// bury stores a dead letter and then terminates the message. Without a stored letter the message comes again.
func (w *worker) bury(ctx context.Context, msg *nats.Msg, m Message, reason, outcome string) {
	// A stop must not take the letter away, nor wait for a store that is away.
	store, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(w.c.AckWait, stopGrace))
	defer cancel()
	if err := w.b.DeadLetter(store, m, w.c.Durable, reason); err != nil {
		w.b.failed(w.c.Durable, m, m.Deliveries, err)
		w.settle(msg, nak(retryDelay(err, m.Deliveries)))
		return
	}
	w.b.metrics.handled.WithLabelValues(w.c.Durable, outcome).Inc()
	w.b.metrics.failing.WithLabelValues(w.c.Durable).Set(0)
	w.poison.done(m)
	w.settle(msg, "+TERM "+oneLine(reason))
}

// oneLine makes a reason fit an advisory.
func oneLine(s string) string {
	const limit = 200
	out := []rune(s)
	for i, r := range out {
		if r < ' ' {
			out[i] = ' '
		}
	}
	if len(out) > limit {
		out = out[:limit]
	}
	return string(out)
}
