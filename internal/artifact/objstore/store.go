package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/internal/artifact"
)

// Defaults of Config.
const (
	DefaultBucket   = "artifacts"
	DefaultReplicas = 1
	DefaultRetryFor = 15 * time.Second
)

// Config says which bucket a Store uses. The zero value of a field means its default.
type Config struct {
	// Bucket is the name of the object store bucket; its stream is OBJ_<Bucket>.
	Bucket string
	// Replicas (1, 3 or 5) and MaxBytes (0: no limit) are used when the bucket is made; an existing bucket is taken as it is, as
	// an operator may have changed it.
	Replicas int
	MaxBytes int64
	// RetryFor is how long one step of a call (finding an object, fetching a chunk, naming an upload) goes on trying while the
	// server doesn't answer; the context may end it sooner. The default outlives the election of a new stream leader.
	RetryFor time.Duration
	// Existing has Open refuse with ErrNoBucket instead of making the bucket.
	Existing bool
	// Now is the clock that an object's age is measured by; nil means time.Now.
	Now func() time.Time
}

// DefaultConfig returns a Config with every default written out.
func DefaultConfig() Config {
	return Config{Bucket: DefaultBucket, Replicas: DefaultReplicas, RetryFor: DefaultRetryFor}
}

func (c Config) withDefaults() Config {
	if c.Bucket == "" {
		c.Bucket = DefaultBucket
	}
	if c.Replicas == 0 {
		c.Replicas = DefaultReplicas
	}
	if c.RetryFor == 0 {
		c.RetryFor = DefaultRetryFor
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate checks ranges; the server judges the rest.
func (c Config) Validate() error {
	switch {
	case c.Replicas < 0 || c.Replicas > 5:
		return fmt.Errorf("artifact replicas %d: want 1 to 5", c.Replicas)
	case c.MaxBytes < 0:
		return fmt.Errorf("artifact max bytes %d: want 0 (no limit) or more", c.MaxBytes)
	case c.RetryFor < 0:
		return fmt.Errorf("artifact retry time %s: want 0 (default) or more", c.RetryFor)
	}
	return nil
}

// Store is an artifact.Store on one bucket. Make it with Open. It owns no goroutine and no connection; there is nothing to close.
type Store struct {
	js  jetstream.JetStream
	cfg Config
	// stream is bound by name, so it stays good when the bucket is made anew.
	stream jetstream.Stream
}

var (
	_ artifact.Store   = (*Store)(nil)
	_ artifact.Lister  = (*Store)(nil)
	_ artifact.Deleter = (*Store)(nil)
)

// ErrNoBucket is returned by Open for a bucket that must exist and does not.
var ErrNoBucket = errors.New("the bucket does not exist")

// crowdWait is how long a store without room for the bucket is asked again: of several that make it at once each has its limit set aside by the
// server until it is seen that one was first.
const crowdWait = 2 * time.Second

// Open makes the bucket, or binds it if it exists; any number of processes may do so at once. It retries while JetStream
// doesn't answer. js should have a time limit for asynchronous publishes of more than 5 s ([jetstream.WithPublishAsyncTimeout]): Put waits no longer
// for a chunk's ack, but a client without a limit holds each chunk that was never acked until it is closed.
func Open(ctx context.Context, js jetstream.JetStream, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Store{js: js, cfg: cfg}
	crowded := time.Now().Add(crowdWait)
	bind := func(ctx context.Context) (err error) {
		// bind first: a limit that this process would ask for and the server has no room for is no reason to refuse what is there
		if s.stream, err = js.Stream(ctx, s.streamName()); err == nil || !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		if cfg.Existing {
			return ErrNoBucket
		}
		_, err = js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket:      cfg.Bucket,
			Description: "Artifacts by SHA-256 of their content",
			Storage:     jetstream.FileStorage,
			Replicas:    cfg.Replicas,
			MaxBytes:    cfg.MaxBytes,
		})
		if noRoom(err) && time.Now().Before(crowded) {
			return fmt.Errorf("%w: %w", errRequestTimeout, err)
		}
		if err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
			return err
		}
		s.stream, err = js.Stream(ctx, s.streamName())
		return err
	}
	err := s.retry(ctx, func(ctx context.Context) error { return request(ctx, bind) })
	if err != nil {
		return nil, fmt.Errorf("open artifact bucket %s: %w", cfg.Bucket, err)
	}
	return s, nil
}

// String names the bucket.
func (s *Store) String() string { return "nats object store " + s.cfg.Bucket }

func (s *Store) streamName() string              { return "OBJ_" + s.cfg.Bucket }
func (s *Store) chunkSubject(nuid string) string { return "$O." + s.cfg.Bucket + ".C." + nuid }

// Put stores the content of r; see artifact.Store. An object that is there already is read and checked instead, which costs
// less than writing it; if it is damaged it is written anew, and if it is older than artifact.RefreshAfter its info is, for the same chunks.
func (s *Store) Put(ctx context.Context, r io.Reader) (artifact.Ref, error) {
	spool, err := artifact.NewSpool(ctx, r)
	if err != nil {
		return artifact.Ref{}, fmt.Errorf("put artifact: %w", err)
	}
	err = s.put(ctx, spool)
	if noRoom(err) {
		err = fmt.Errorf("%w: %w", artifact.ErrFull, err)
	}
	if err = errors.Join(err, spool.Close()); err != nil {
		return artifact.Ref{}, fmt.Errorf("put artifact %s: %w", spool.Ref().Digest, err)
	}
	return spool.Ref(), nil
}

func (s *Store) put(ctx context.Context, spool *artifact.Spool) error {
	return s.retry(ctx, func(ctx context.Context) error {
		for {
			old, err := s.readMeta(ctx, spool.Ref().Digest)
			if err != nil {
				return err
			}
			if old.exists() {
				err := artifact.Verify(ctx, s, spool.Ref().Digest)
				switch {
				case err == nil:
					err = s.refresh(ctx, spool.Ref().Digest, old)
				case !artifact.Transient(err):
					err = s.upload(ctx, spool, old)
				}
				if !errors.Is(err, errOvertaken) {
					return err
				}
				continue
			}
			err = s.upload(ctx, spool, old)
			if !errors.Is(err, errOvertaken) {
				return err
			}
		}
	})
}

// Stat returns the recorded size; see artifact.Store.
func (s *Store) Stat(ctx context.Context, d artifact.Digest) (artifact.Ref, error) {
	m, err := s.find(ctx, d)
	if err != nil {
		return artifact.Ref{}, fmt.Errorf("stat artifact %s: %w", d, err)
	}
	return artifact.Ref{Digest: d, Size: int64(m.info.Size)}, nil
}

// Open streams the object; see artifact.Store. Chunks are fetched one at a time as they are read, so a reader may be as slow as it likes,
// and each is retried by itself while the server doesn't answer.
func (s *Store) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, error) {
	m, err := s.find(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("open artifact %s: %w", d, err)
	}
	ref := artifact.Ref{Digest: d, Size: int64(m.info.Size)}
	return artifact.NewVerifier(&chunkReader{ctx: ctx, store: s, subject: s.chunkSubject(m.info.NUID), left: ref.Size}, ref), nil
}

// find is readMeta where the object must exist and be described as what its name says.
func (s *Store) find(ctx context.Context, d artifact.Digest) (m meta, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		m, err = s.readMeta(ctx, d)
		return err
	})
	switch {
	case err != nil:
		return meta{}, err
	case !m.exists():
		return meta{}, artifact.ErrNotFound
	}
	return m, m.check(d)
}
