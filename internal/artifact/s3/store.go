package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"telco-churn-mlops/internal/artifact"
)

const (
	// partThreads is how many parts of one put are on their way at a time.
	partThreads = 2
	// maxRetries is how often the client sends a request that got no answer or a 5xx; its pauses grow to a second.
	maxRetries = 8
)

// Store is an artifact.Store on one bucket. Make it with Open; there is nothing to close.
type Store struct {
	core minio.Core
	cfg  Config
	// looked is called by a deletion between its last look and the removal; nil but in a test.
	looked func()
}

var (
	_ artifact.Store     = (*Store)(nil)
	_ artifact.Lister    = (*Store)(nil)
	_ artifact.Deleter   = (*Store)(nil)
	_ artifact.Presigner = (*Store)(nil)
)

// Open checks that the bucket is there, or makes it if the Config says so; any number of processes may do so at once.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	keys, err := cfg.keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("open s3 endpoint %s: %w", cfg.Endpoint, err)
	}
	client, err := minio.New(cfg.Endpoint, &minio.Options{
		Creds:      keys,
		Secure:     cfg.Secure,
		Region:     cfg.Region,
		MaxRetries: maxRetries,
	})
	if err != nil {
		return nil, fmt.Errorf("open s3 endpoint %s: %w", cfg.Endpoint, err)
	}
	s := &Store{core: minio.Core{Client: client}, cfg: cfg}
	if err := s.bind(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	return s, nil
}

func (s *Store) bind(ctx context.Context) error {
	there, err := s.core.BucketExists(ctx, s.cfg.Bucket)
	switch {
	case err != nil:
		return fmt.Errorf("look for bucket: %w", err)
	case there:
		return nil
	case !s.cfg.CreateBucket:
		return errNoBucket
	}
	err = s.core.MakeBucket(ctx, s.cfg.Bucket, minio.MakeBucketOptions{Region: s.cfg.Region})
	if err == nil {
		return nil
	}
	if there, again := s.core.BucketExists(ctx, s.cfg.Bucket); again == nil && there {
		return nil // another process made it just now
	}
	return fmt.Errorf("make bucket: %w", err)
}

// errNoBucket is not artifact.ErrNotFound: somebody may make the bucket.
var errNoBucket = errors.New("bucket does not exist")

// String gives the place as "s3://bucket/prefix at host".
func (s *Store) String() string {
	return "s3://" + path.Join(s.cfg.Bucket, s.cfg.Prefix) + " at " + s.cfg.Endpoint
}

// key is where d is kept; d must be valid.
func (s *Store) key(d artifact.Digest) string { return path.Join(s.cfg.Prefix, "sha256", d.Hex()) }

// Put stores the content of r; see artifact.Store. An object that is there already is read and checked instead; if it is damaged
// or older than artifact.RefreshAfter it is written anew.
func (s *Store) Put(ctx context.Context, r io.Reader) (artifact.Ref, error) {
	spool, err := artifact.NewSpool(ctx, r)
	if err != nil {
		return artifact.Ref{}, fmt.Errorf("put artifact: %w", err)
	}
	err = errors.Join(s.put(ctx, spool), spool.Close())
	if err != nil {
		return artifact.Ref{}, fmt.Errorf("put artifact %s: %w", spool.Ref().Digest, err)
	}
	return spool.Ref(), nil
}

func (s *Store) put(ctx context.Context, spool *artifact.Spool) error {
	ref := spool.Ref()
	young, err := s.checkStored(ctx, ref)
	if young || artifact.Transient(err) {
		return err
	}
	for {
		err = s.write(ctx, s.key(ref.Digest), func() io.Reader { return spool.NewReader() }, ref.Size, minio.PutObjectOptions{
			ContentType: "application/octet-stream",
			PartSize:    uint64(s.cfg.PartSize),
			NumThreads:  partThreads,
		})
		if err != nil {
			return err
		}
		if stays, err := s.survives(ctx, ref.Digest); stays || err != nil {
			return err
		}
	}
}

// write stores one object. Gateways over a file system remove a folder with its last object, and tell a put that comes at this moment that a folder
// stands in its place. None ever does, as no key of the store goes on from another: the put is repeated.
func (s *Store) write(ctx context.Context, key string, content func() io.Reader, size int64, o minio.PutObjectOptions) error {
	const most = 10
	for try := 1; ; try++ {
		_, err := s.core.Client.PutObject(ctx, s.cfg.Bucket, key, content(), size, o)
		if try == most || minio.ToErrorResponse(err).Code != "ExistingObjectIsDirectory" {
			return translate(err)
		}
	}
}

// checkStored returns nil if the object is stored and whole, and whether it is young, too; a wrong size is told without reading it.
func (s *Store) checkStored(ctx context.Context, ref artifact.Ref) (young bool, err error) {
	stored, modified, err := s.stat(ctx, ref.Digest)
	if err != nil {
		return false, err
	}
	if stored.Size != ref.Size {
		return false, artifact.ErrCorrupt
	}
	if err := artifact.Verify(ctx, s, ref.Digest); err != nil {
		return false, err
	}
	return s.cfg.Now().Sub(modified) < artifact.RefreshAfter, nil
}

// Stat returns the stored size; see artifact.Store.
func (s *Store) Stat(ctx context.Context, d artifact.Digest) (artifact.Ref, error) {
	ref, _, err := s.stat(ctx, d)
	if err != nil {
		return artifact.Ref{}, fmt.Errorf("stat artifact %s: %w", d, err)
	}
	return ref, nil
}

func (s *Store) stat(ctx context.Context, d artifact.Digest) (ref artifact.Ref, modified time.Time, err error) {
	if err := d.Validate(); err != nil {
		return artifact.Ref{}, time.Time{}, err
	}
	info, err := s.core.Client.StatObject(ctx, s.cfg.Bucket, s.key(d), minio.StatObjectOptions{})
	if err = translate(err); errors.Is(err, artifact.ErrNotFound) {
		// The answer to a HEAD has no body, so the client can't tell a missing object from a missing bucket.
		there, lookErr := s.core.BucketExists(ctx, s.cfg.Bucket)
		switch {
		case lookErr != nil:
			err = fmt.Errorf("look for bucket: %w", lookErr)
		case !there:
			err = errNoBucket
		}
	}
	if err != nil {
		return artifact.Ref{}, time.Time{}, err
	}
	return artifact.Ref{Digest: d, Size: info.Size}, info.LastModified, nil
}

// Open streams the object in one request; see artifact.Store.
func (s *Store) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("open artifact: %w", err)
	}
	body, info, _, err := s.core.GetObject(ctx, s.cfg.Bucket, s.key(d), minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("open artifact %s: %w", d, translate(err))
	}
	return artifact.NewVerifier(body, artifact.Ref{Digest: d, Size: info.Size}), nil
}

// translate turns "no such key" into artifact.ErrNotFound and leaves everything else.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		return err
	}
	switch {
	case resp.Code == minio.NoSuchKey:
		return fmt.Errorf("%w: %w", artifact.ErrNotFound, err)
	case resp.Code == minio.NoSuchBucket:
		return fmt.Errorf("%w: %w", errNoBucket, err)
	case resp.StatusCode == http.StatusInsufficientStorage, strings.Contains(resp.Code, "QuotaExceeded"):
		return fmt.Errorf("%w: %w", artifact.ErrFull, err)
	case resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("access denied by the s3 endpoint: %w", err)
	}
	return err
}
