package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// DefaultStoreBytes is the budget that the streams' limits are shares of when Config.StoreBytes is 0.
	DefaultStoreBytes int64 = 10 << 30
	// DefaultPredictionsMaxAge is how long PREDICTIONS keeps a message when Config.PredictionsMaxAge is 0.
	DefaultPredictionsMaxAge = 35 * 24 * time.Hour

	// PublishAckTimeout is after how long an asynchronous publish on [Bus.JetStream] that has no ack is given up. Without a limit the
	// client holds those for ever, and with 4000 of them publishes nothing more. It is longer than any caller waits himself (the prediction log
	// for a batch of 512 and the artifact store for a window of 16, 5 s each), so that an ack is never given up while somebody waits for it,
	// and so short that what a stream without a leader leaves unanswered stays far below 4000.
	PublishAckTimeout = 10 * time.Second

	defaultTellEvery = 10 * time.Second // of Config.TellEvery

	reconnectWait   = 200 * time.Millisecond
	reconnectJitter = 100 * time.Millisecond
)

// Config says how to connect. URL or InProcess is required; every other zero value is usable.
type Config struct {
	// URL is the server's address, or several separated by commas. With InProcess set it may be empty.
	URL string
	// User and Password, Token or CredsFile (a JWT and its seed) log in. None of them is ever logged.
	User, Password, Token, CredsFile string
	// Name is the connection's name as "nats server report connections" shows it, for instance "trainer".
	Name string
	// Source is the CloudEvents source of what this process publishes, for instance "trainer/host-1"; empty means "Name/hostname".
	Source string
	// InProcess connects to a server in this process without a socket; nil means URL.
	InProcess nats.InProcessConnProvider
	// Replicas of every stream; 0 means 3 on a cluster of at least three servers, else 1.
	Replicas int
	// StoreBytes is the budget that the streams' limits are shares of; 0 means DefaultStoreBytes.
	StoreBytes int64
	// PredictionsMaxAge is the age limit of PREDICTIONS; 0 means DefaultPredictionsMaxAge.
	PredictionsMaxAge time.Duration
	// TellEvery is how often Connect warns that there is no connection yet; 0 means 10 s.
	TellEvery time.Duration
	// Log and Metrics may be nil. Several buses may share one Metrics.
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Validate returns an error that names the first field that cannot be used.
func (c Config) Validate() error {
	switch {
	case c.URL == "" && c.InProcess == nil:
		return errors.New("bus config: URL or InProcess is required")
	case c.Replicas < 0 || c.Replicas > 5:
		return fmt.Errorf("bus config: Replicas %d is not between 0 and 5", c.Replicas)
	case c.StoreBytes < 0:
		return fmt.Errorf("bus config: StoreBytes %d is negative", c.StoreBytes)
	case c.PredictionsMaxAge < 0:
		return fmt.Errorf("bus config: PredictionsMaxAge %s is negative", c.PredictionsMaxAge)
	}
	return nil
}

// Bus is a connection to JetStream with this project's streams. It is safe for concurrent use.
type Bus struct {
	cfg     Config
	log     *slog.Logger
	nc      *nats.Conn
	js      jetstream.JetStream
	metrics *metrics

	closed    chan struct{} // closed when the connection is closed for good
	closeOnce sync.Once
	closeErr  error

	mu        sync.Mutex
	hooks     map[int]func()
	nextHook  int
	sightings map[string]sighting // of leases, see TryLease
	noHeader  time.Time           // when a message with a header that is none was last logged
}

// noHeaderEvery is the pause between two log lines about what any client can send with every message.
const noHeaderEvery = 10 * time.Second

// quiet reports whether a message with a header that is none was logged a moment ago.
func (b *Bus) quiet(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.noHeader.IsZero() && now.Sub(b.noHeader) < noHeaderEvery {
		return true
	}
	b.noHeader = now
	return false
}

// Connect connects and waits for the first connection until ctx ends; refused credentials are an error at once. After that the connection is
// restored for ever, every 200 ms and some jitter, until Close.
func Connect(ctx context.Context, c Config) (*Bus, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.StoreBytes == 0 {
		c.StoreBytes = DefaultStoreBytes
	}
	if c.PredictionsMaxAge == 0 {
		c.PredictionsMaxAge = DefaultPredictionsMaxAge
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Source == "" {
		host, err := os.Hostname()
		if err != nil || host == "" {
			host = "unknown"
		}
		c.Source = c.Name + "/" + host
	}
	b := &Bus{cfg: c, log: c.Log.With("component", "bus"), closed: make(chan struct{}), hooks: make(map[int]func()), sightings: make(map[string]sighting)}
	var err error
	if b.metrics, err = newMetrics(c.Metrics); err != nil {
		return nil, err
	}
	if err := b.dial(ctx); err != nil {
		return nil, err
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncTimeout(PublishAckTimeout)); err != nil {
		b.nc.Close()
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	return b, nil
}

// dial opens the connection and waits until it stands.
func (b *Bus) dial(ctx context.Context) error {
	up := make(chan struct{}, 1)
	refused := make(chan error, 1)
	opts := append(b.credentials(),
		nats.Name(b.cfg.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.RetryOnFailedConnect(true),
		// A restored server may refuse us for a moment (accounts not loaded, credentials being rotated); giving up for good would leave a
		// process that runs and is deaf.
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(*nats.Conn) { notify(up, struct{}{}) }),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.log.Info("reconnected to NATS", "url", nc.ConnectedUrlRedacted())
			b.metrics.reconnects.Inc()
			b.reconnected()
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("disconnected from NATS", "err", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if isAuth(err) {
				notify(refused, err)
			}
			b.log.Debug("reconnect to NATS", "err", err)
		}),
		nats.ErrorHandler(b.asyncError),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
	)
	nc, err := nats.Connect(b.cfg.URL, opts...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	b.nc = nc
	if isAuth(nc.LastError()) && !nc.IsConnected() {
		notify(refused, nc.LastError())
	}
	if nc.IsConnected() {
		return nil
	}
	every := b.cfg.TellEvery
	if every == 0 {
		every = defaultTellEvery
	}
	tell := time.NewTicker(every)
	defer tell.Stop()
	for err == nil {
		select {
		case <-up:
			return nil
		case <-tell.C:
			b.log.Warn("no connection to NATS yet", "url", hosts(b.cfg.URL), "err", nc.LastError())
		case err = <-refused:
		case <-b.closed:
			err = cmp.Or(nc.LastError(), nats.ErrConnectionClosed)
		case <-ctx.Done():
			err = cmp.Or(nc.LastError(), context.Cause(ctx))
		}
	}
	nc.Close()
	return fmt.Errorf("connect to NATS: %w", err)
}

func (b *Bus) credentials() []nats.Option {
	var opts []nats.Option
	if b.cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(b.cfg.InProcess))
	}
	if b.cfg.User != "" {
		opts = append(opts, nats.UserInfo(b.cfg.User, b.cfg.Password))
	}
	if b.cfg.Token != "" {
		opts = append(opts, nats.Token(b.cfg.Token))
	}
	if b.cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(b.cfg.CredsFile))
	}
	return opts
}

// hosts returns where the servers of a URL are, without what it may hold of credentials.
func hosts(servers string) string {
	var out []string
	for _, server := range strings.Split(servers, ",") {
		server = strings.TrimSpace(server)
		out = append(out, server[strings.LastIndexAny(server, "@/")+1:])
	}
	return strings.Join(out, ",")
}

func isAuth(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) ||
		errors.Is(err, nats.ErrAccountAuthExpired)
}

// notify puts v into a channel of capacity one unless it is full.
func notify[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// asyncError logs what the connection reports outside of any call.
func (b *Bus) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	switch {
	case errors.Is(err, nats.ErrBadHeaderMsg) && b.quiet(time.Now()):
	case errors.Is(err, nats.ErrSlowConsumer):
		b.log.Error("slow consumer, messages dropped", "subject", subject, "err", err)
	case errors.Is(err, nats.ErrPermissionViolation):
		b.log.Error("permission denied by NATS", "subject", subject, "err", err)
	default:
		b.log.Warn("NATS connection error", "subject", subject, "err", err)
	}
}

// Close drains the connection: what is buffered is sent, subscriptions end. It waits for that until ctx ends and then closes anyway. Consume,
// Follow and leases should have ended before. Close is idempotent.
func (b *Bus) Close(ctx context.Context) error {
	b.closeOnce.Do(func() {
		if !b.nc.IsConnected() {
			b.nc.Close()
		} else if err := b.nc.Drain(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			b.nc.Close()
			b.closeErr = fmt.Errorf("drain connection: %w", err)
		}
		select {
		case <-b.closed:
		case <-ctx.Done():
			b.nc.Close()
			b.closeErr = fmt.Errorf("drain connection: %w", context.Cause(ctx))
		}
	})
	return b.closeErr
}

// Conn returns the connection, for core requests and micro services. It is closed by Close.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// JetStream returns the plain client, for what this package does not cover. Its asynchronous publishes end after [PublishAckTimeout].
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Connected reports whether the connection stands at this moment.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Source returns the CloudEvents source for events of this process.
func (b *Bus) Source() string { return b.cfg.Source }

// Log returns the configured logger, never nil.
func (b *Bus) Log() *slog.Logger { return b.cfg.Log }

// OnReconnect has fn called, on a goroutine of its own, after each restored connection, not for the first one. cancel removes it; a call
// that has begun may still run after cancel returned.
func (b *Bus) OnReconnect(fn func()) (cancel func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.nextHook
	b.nextHook++
	b.hooks[id] = fn
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.hooks, id)
	}
}

func (b *Bus) reconnected() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fn := range b.hooks {
		go fn()
	}
}
