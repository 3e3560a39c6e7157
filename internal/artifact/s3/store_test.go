//go:build s3

package s3

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/artifacttest"
)

// The keys of artifacttest's server.
const accessKey, secretKey = "testaccess", "testsecret"

// startServer runs a server until the test ends and returns how to reach it, and a function that kills it.
func startServer(t *testing.T) (Config, func()) {
	t.Helper()
	g := artifacttest.StartGateway(t)
	return Config{Endpoint: g.Addr, Region: DefaultRegion, AccessKey: g.AccessKey, SecretKey: g.SecretKey}, g.Kill
}

var buckets atomic.Int64

// open returns a store on a bucket that no other test has.
func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	cfg.Bucket, cfg.Prefix, cfg.CreateBucket = fmt.Sprintf("artifacts-%d", buckets.Add(1)), "team/churn", true
	s, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	return s
}

func replace(t *testing.T, s *Store, d artifact.Digest, content []byte) {
	t.Helper()
	_, err := s.core.Client.PutObject(t.Context(), s.cfg.Bucket, s.key(d), bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	require.NoError(t, err)
}

// stored counts objects and uploads under way in the whole bucket.
func stored(t *testing.T, s *Store) int {
	t.Helper()
	n := 0
	for o := range s.core.Client.ListObjects(t.Context(), s.cfg.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		require.NoError(t, o.Err)
		n++
	}
	for u := range s.core.ListIncompleteUploads(t.Context(), s.cfg.Bucket, "", true) {
		require.NoError(t, u.Err)
		n++
	}
	return n
}

func TestConformance(t *testing.T) {
	cfg, _ := startServer(t)
	artifacttest.Run(t, artifacttest.Harness{
		Open: func(t *testing.T) artifact.Store { return open(t, cfg) },
		Replace: func(t *testing.T, s artifact.Store, d artifact.Digest, content []byte) {
			replace(t, s.(*Store), d, content)
		},
		Raw: func(t *testing.T, s artifact.Store) int { return stored(t, s.(*Store)) },
		Later: func(_ *testing.T, s artifact.Store, by time.Duration) {
			s.(*Store).cfg.Now = func() time.Time { return time.Now().Add(by) }
		},
	})
}

func TestBucketIsMadeOnlyIfAskedFor(t *testing.T) {
	cfg, _ := startServer(t)
	cfg.Bucket = "not-there"
	_, err := Open(t.Context(), cfg)
	require.ErrorIs(t, err, errNoBucket)
	require.ErrorContains(t, err, "open s3://not-there at "+cfg.Endpoint)
	cfg.CreateBucket = true
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = Open(t.Context(), cfg) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	cfg.CreateBucket = false
	_, err = Open(t.Context(), cfg)
	require.NoError(t, err)
}

func TestALostBucketIsNotALostObject(t *testing.T) {
	cfg, _ := startServer(t)
	s := open(t, cfg)
	require.NoError(t, s.core.RemoveBucket(t.Context(), s.cfg.Bucket))
	d := artifact.DigestOf([]byte("x"))
	_, err := s.Stat(t.Context(), d)
	require.ErrorIs(t, err, errNoBucket)
	require.True(t, artifact.Transient(err))
	_, err = s.Open(t.Context(), d)
	require.ErrorIs(t, err, errNoBucket)
	require.True(t, artifact.Transient(err))
	_, err = artifact.PutBytes(t.Context(), s, []byte("x"))
	require.True(t, artifact.Transient(err))
}

func TestWrongKeysAreTransientAndNotShown(t *testing.T) {
	cfg, _ := startServer(t)
	open(t, cfg)
	cfg.Bucket, cfg.SecretKey = "artifacts-1", "wrong-and-secret"
	_, err := Open(t.Context(), cfg)
	require.Error(t, err)
	require.True(t, artifact.Transient(err))
	require.NotContains(t, err.Error(), "wrong-and-secret")
}

func TestServerAwayIsTransient(t *testing.T) {
	cfg, kill := startServer(t)
	s := open(t, cfg)
	ref, err := artifact.PutBytes(t.Context(), s, []byte("x"))
	require.NoError(t, err)
	kill()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = artifact.ReadAll(ctx, s, ref.Digest, 10)
	require.Error(t, err)
	require.True(t, artifact.Transient(err), "%v", err)
	_, err = artifact.PutBytes(ctx, s, []byte("y"))
	require.Error(t, err)
	require.True(t, artifact.Transient(err), "%v", err)
}

func TestStringHasNoKeys(t *testing.T) {
	s := &Store{cfg: Config{Endpoint: "host:1", Bucket: "b", Prefix: "p", AccessKey: accessKey, SecretKey: secretKey}}
	require.Equal(t, "s3://b/p at host:1", s.String())
}
