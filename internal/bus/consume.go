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

	maxFetch  = 256
	stopGrace = 5 * time.Second
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
	// AckWait: 0 means DefaultAckWait. A handler may take longer, the lease is extended while it runs.
	AckWait time.Duration
	// MaxPoison: 0 means DefaultMaxPoison.
	MaxPoison int
}

func (c *ConsumerConfig) complete() error {
	if c.Durable == "" || c.Stream == "" {
		return errors.New("consume: durable and stream are required")
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
	return nil
}

// Consume calls handle with each message of a durable consumer, one at a time, and blocks until ctx ends (then it returns nil) or the bus is closed.
//
// A message ends in exactly one way. Handled without an error: acked, and the server's answer to that awaited. A permanent error, a panic
// or a message that does not decode: a dead letter is stored, then the message is terminated. Any other error: given back with a
// delay, doubled from 100 ms to 30 s by the number of tries or as [RetryAfter] says; after five tries that is logged as an error. Deliveries are unlimited. A message
// comes again after a kill even if it was acked within the last 100 ms before, so handlers must be idempotent.
//
// While a message is in hand its lease is extended every third of AckWait, and the server's answer is awaited; if none came for AckWait, the message may
// have gone to another process and the handler's context ends. When ctx ends, the handler has 5 s to come to an end before its context ends too; its outcome still counts, and what was not begun is given
// back at once. A consumer or stream that was deleted is made again. How a message that kills the process is recognised: see poison.go.
func (b *Bus) Consume(ctx context.Context, c ConsumerConfig, handle func(context.Context, Message) error) error {
	if err := c.complete(); err != nil {
		return err
	}
	w := &worker{b: b, c: c, handle: handle, poison: &poison{b: b, c: c}, held: make(map[string]*held)}
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
	extended time.Time // when the last extension that the server answered was sent
	cancel   context.CancelCauseFunc
}

var errLeaseNotExtended = errors.New("lease of the message could not be extended")

// session makes the consumer and fetches until something fails. It reports whether any message came.
func (w *worker) session(ctx context.Context) (progress bool, err error) {
	var consumer jetstream.Consumer
	err = w.b.retry(ctx, func(ctx context.Context) (err error) {
		consumer, err = w.b.js.CreateOrUpdateConsumer(ctx, string(w.c.Stream), jetstream.ConsumerConfig{
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
	for ctx.Err() == nil {
		got, err := w.fetch(ctx, consumer)
		progress = progress || got
		if err != nil {
			return progress, err
		}
	}
	return progress, nil
}

// fetch asks for messages once and handles what comes.
func (w *worker) fetch(ctx context.Context, consumer jetstream.Consumer) (progress bool, err error) {
	pull, stop := context.WithCancel(ctx)
	defer stop()
	reconnected := make(chan struct{}, 1)
	defer w.b.OnReconnect(func() { notify(reconnected, struct{}{}) })()
	batch, err := consumer.Fetch(min(w.c.MaxAckPending, maxFetch), jetstream.FetchMaxWait(readExpiry), jetstream.FetchHeartbeat(readHeartbeat))
	if err != nil {
		return false, fmt.Errorf("fetch: %w", err)
	}
	// What arrives is taken in at once, so that its lease is extended while it waits for its turn.
	queue := make(chan jetstream.Msg, maxFetch)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer stop()
	keeper.Go(func() { w.keep(pull) })
	keeper.Go(func() {
		defer close(queue)
		for {
			select {
			case <-pull.Done():
				return
			case <-reconnected:
				return // the request was lost with the old connection
			case msg, ok := <-batch.Messages():
				if !ok {
					return
				}
				w.hold(msg)
				queue <- msg
			}
		}
	})
	for msg := range queue {
		progress = true
		if ctx.Err() != nil {
			w.settle(msg, "-NAK")
			continue
		}
		w.take(ctx, msg)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) && ctx.Err() == nil {
		return progress, fmt.Errorf("fetch: %w", err)
	}
	return progress, nil
}

func (w *worker) hold(msg jetstream.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[msg.Reply()] = &held{reply: msg.Reply(), extended: time.Now()}
}

// keep extends the lease of everything in hand every third of AckWait.
func (w *worker) keep(ctx context.Context) {
	for pause(ctx, w.c.AckWait/3) {
		w.mu.Lock()
		all := make([]*held, 0, len(w.held))
		for _, h := range w.held {
			all = append(all, h)
		}
		w.mu.Unlock()
		for _, h := range all {
			w.extend(ctx, h)
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
	if time.Since(h.extended) >= w.c.AckWait && h.cancel != nil {
		h.cancel(errLeaseNotExtended)
	}
}

// settle tells the server the outcome of a message and waits for its answer, a few times. An outcome that does not arrive means that the message comes again.
func (w *worker) settle(msg jetstream.Msg, outcome string) {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	err := w.b.retry(ctx, func(ctx context.Context) error {
		one, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := w.b.nc.RequestWithContext(one, msg.Reply(), []byte(outcome))
		return err
	})
	w.mu.Lock()
	delete(w.held, msg.Reply())
	w.mu.Unlock()
	if err != nil {
		w.b.log.Warn("outcome did not reach the server, the message will come again", "consumer", w.c.Durable, "subject", msg.Subject(), "err", err)
	}
}

// take handles one message and settles it.
func (w *worker) take(ctx context.Context, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		w.b.log.Error("message without metadata", "consumer", w.c.Durable, "subject", msg.Subject(), "err", err)
		return
	}
	m := newMessage(w.c.Stream, msg.Subject(), msg.Headers(), msg.Data())
	m.Sequence, m.Time, m.Deliveries = meta.Sequence.Stream, meta.Timestamp, meta.NumDelivered
	if m.Err != nil {
		w.bury(ctx, msg, m, m.Err.Error(), "dead")
		return
	}
	begun, err := w.poison.begin(ctx, m)
	if err != nil {
		w.b.failed(w.c.Durable, m, m.Deliveries, err)
		w.settle(msg, nak(retryDelay(err, m.Deliveries)))
		return
	}
	if begun {
		w.bury(ctx, msg, m, fmt.Sprintf("poison: begun %d times and never ended", w.c.MaxPoison), "poison")
		return
	}
	err = w.run(ctx, msg, m)
	w.poison.end(m)
	switch {
	case err == nil:
		w.b.metrics.handled.WithLabelValues(w.c.Durable, "done").Inc()
		w.b.metrics.failing.WithLabelValues(w.c.Durable).Set(0)
		w.settle(msg, "+ACK")
	case IsPermanent(err):
		w.bury(ctx, msg, m, err.Error(), "dead")
	case ctx.Err() != nil:
		w.settle(msg, "-NAK") // we were told to stop, which is not the message's fault
	default:
		w.b.failed(w.c.Durable, m, m.Deliveries, err)
		w.settle(msg, nak(retryDelay(err, m.Deliveries)))
	}
}

func nak(d time.Duration) string { return fmt.Sprintf(`-NAK {"delay": %d}`, d.Nanoseconds()) }

// run calls the handler on a context that ends when the lease is lost, or some time after ctx.
func (w *worker) run(ctx context.Context, msg jetstream.Msg, m Message) error {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	w.mu.Lock()
	if h := w.held[msg.Reply()]; h != nil {
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
func (w *worker) bury(ctx context.Context, msg jetstream.Msg, m Message, reason, outcome string) {
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
	w.poison.end(m)
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
