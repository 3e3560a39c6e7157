package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"telco-churn-mlops/events"
)

const (
	pullExpiry    = 20 * time.Second
	pullHeartbeat = 2 * time.Second
	pullMaxBytes  = 8 << 20 // of one request, so that large messages do not fill the memory
)

var (
	errNoHeartbeat = errors.New("server is silent")
	errReconnected = errors.New("reconnected")
	errLook        = errors.New("time to look up")
)

// puller asks a consumer for messages, one request at a time. It stands in for the client's Fetch, which leaves its request open when the caller goes
// away, so that messages vanish into it until their lease runs out, and drops what has arrived by then.
type puller struct {
	b       *Bus
	subject string // of requests
	sub     *nats.Subscription
	msgs    chan *nats.Msg
	poke    chan struct{} // a reconnect: the open request is lost
	unhook  func()

	open int // messages that the open request may still bring, 0 if none is open
}

func (b *Bus) puller(s events.Stream, consumer string, batch int) (*puller, error) {
	p := &puller{
		b: b, subject: "$JS.API.CONSUMER.MSG.NEXT." + string(s) + "." + consumer,
		msgs: make(chan *nats.Msg, batch+64), poke: make(chan struct{}, 1), // room for statuses
	}
	var err error
	if p.sub, err = b.nc.ChanSubscribe(b.nc.NewInbox(), p.msgs); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	p.unhook = b.OnReconnect(func() { notify(p.poke, struct{}{}) })
	return p, nil
}

// stop ends the subscription, and with it the request on the server, and returns the messages that had arrived and were not taken.
func (p *puller) stop() []*nats.Msg {
	p.unhook()
	// Draining keeps the subscription here until the server has ended it there: a plain unsubscribe would drop what is on its way.
	if err := p.sub.Drain(); err == nil {
		// Once this answer is here the server knows, and everything that it had sent before is in the channel.
		if err := p.b.nc.FlushTimeout(time.Second); err != nil {
			p.b.log.Debug("flush after unsubscribing", "err", err)
		}
	}
	var left []*nats.Msg
	for {
		select {
		case m := <-p.msgs:
			if status(m) == "" {
				left = append(left, m)
			}
		default:
			return left
		}
	}
}

// next returns the next message, asking for batch more if no request is open. It returns errLook when look fires while it waits, and any other error when ctx
// ends, the connection was restored or the server refuses or is silent; the puller is then to be stopped.
func (p *puller) next(ctx context.Context, batch int, look <-chan time.Time) (*nats.Msg, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case m := <-p.msgs:
		if status(m) == "" {
			p.open--
			return m, nil
		}
		if err := p.read(m); err != nil {
			return nil, err
		}
	default:
	}
	silence := time.NewTimer(2 * pullHeartbeat)
	defer silence.Stop()
	for {
		if p.open == 0 {
			if err := p.request(batch); err != nil {
				return nil, err
			}
		}
		select {
		case m := <-p.msgs:
			if status(m) == "" {
				p.open--
				return m, nil
			}
			if err := p.read(m); err != nil {
				return nil, err
			}
			silence.Reset(2 * pullHeartbeat)
		case <-p.poke:
			return nil, errReconnected
		case <-look:
			return nil, errLook
		case <-silence.C:
			return nil, errNoHeartbeat
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// read reads a status: the server is alive, the request came to its end, or the consumer is gone, which is an error.
func (p *puller) read(m *nats.Msg) error {
	code, text := status(m), m.Header.Get("Description")
	switch {
	case code == "100": // idle heartbeat
		return nil
	case code == "404", code == "408", // nothing came in time
		code == "409" && (text == "Message Size Exceeds MaxBytes" || text == "Batch Completed"):
		p.open = 0
		return nil
	}
	return fmt.Errorf("request ended: %s %s", code, text)
}

func (p *puller) request(batch int) error {
	req, err := json.Marshal(map[string]int64{
		"batch": int64(batch), "expires": int64(pullExpiry), "idle_heartbeat": int64(pullHeartbeat), "max_bytes": pullMaxBytes,
	})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	if err := p.b.nc.PublishRequest(p.subject, p.sub.Subject, req); err != nil {
		return fmt.Errorf("request messages: %w", err)
	}
	p.open = batch
	return nil
}

// status returns the status of a message that the server made, empty for a stored one.
func status(m *nats.Msg) string {
	if len(m.Data) > 0 || len(m.Header) == 0 || m.Reply != "" {
		return ""
	}
	return m.Header.Get("Status")
}
