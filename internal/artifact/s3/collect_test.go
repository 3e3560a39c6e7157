//go:build s3

package s3

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/artifacttest"
)

func TestAPutBetweenALastLookAndTheRemovalStands(t *testing.T) {
	cfg, _ := startServer(t)
	s := open(t, cfg)
	content := artifacttest.Content(1000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	writer := &Store{core: s.core, cfg: s.cfg}
	writer.cfg.Now = func() time.Time { return time.Now().Add(artifact.MinDeleteAge) } // it finds the object old and stores it again
	_, first, err := s.stat(t.Context(), ref.Digest)
	require.NoError(t, err)

	put := make(chan error, 1)
	s.looked = func() {
		time.AfterFunc(time.Until(first.Add(2*time.Second)), func() { // when the time of the object can be seen to change
			_, err := artifact.PutBytes(t.Context(), writer, content)
			put <- err
		})
		require.Eventually(t, func() bool {
			_, now, err := s.stat(t.Context(), ref.Digest)
			return err == nil && now.After(first)
		}, 20*time.Second, 20*time.Millisecond)
		select {
		case <-put:
			require.Fail(t, "the put returned while a deletion that saw the old object was under way")
		default:
		}
	}
	require.NoError(t, s.Delete(t.Context(), ref.Digest, first))
	require.NoError(t, <-put)
	require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest), "the put was undone")
	require.Equal(t, 1, stored(t, s), "a claim stayed")
}

func TestAClaimOfTheDeadHoldsNobodyUp(t *testing.T) {
	cfg, _ := startServer(t)
	s := open(t, cfg)
	content := artifacttest.Content(1000)
	claim := s.claims(artifact.DigestOf(content)) + "dead"
	_, err := s.core.Client.PutObject(t.Context(), s.cfg.Bucket, claim, strings.NewReader(""), 0, minio.PutObjectOptions{})
	require.NoError(t, err)
	s.cfg.claimDead = time.Millisecond
	_, err = artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	require.Equal(t, 1, stored(t, s), "the claim stayed")
}

func TestPutInParts(t *testing.T) {
	cfg, _ := startServer(t)
	cfg.PartSize = minPartSize
	s := open(t, cfg)
	for _, size := range []int{minPartSize - 1, minPartSize, minPartSize + 1, 3*minPartSize + 12345} {
		content := artifacttest.Content(size)
		ref, err := s.Put(t.Context(), bytes.NewReader(content))
		require.NoError(t, err, "size %d", size)
		got, err := artifact.ReadAll(t.Context(), s, ref.Digest, int64(size))
		require.NoError(t, err, "size %d", size)
		require.True(t, bytes.Equal(content, got), "size %d", size)
		info, err := s.core.Client.StatObject(t.Context(), s.cfg.Bucket, s.key(ref.Digest), minio.StatObjectOptions{})
		require.NoError(t, err)
		require.Equal(t, size > minPartSize, strings.Contains(info.ETag, "-"), "size %d: an entity tag of parts holds their number: %s", size, info.ETag)
	}
}

func TestPresign(t *testing.T) {
	cfg, _ := startServer(t)
	s := open(t, cfg)
	content := artifacttest.Content(100_000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	link, err := s.Presign(t.Context(), ref.Digest, `mödel "1".pkl`, time.Minute)
	require.NoError(t, err)
	require.NotContains(t, link, secretKey)
	answer, err := http.Get(link)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Contains(t, answer.Header.Get("Content-Disposition"), "attachment")
	got, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))

	forged := strings.Replace(link, ref.Digest.Hex(), artifact.DigestOf([]byte("other")).Hex(), 1)
	answer, err = http.Get(forged)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	for _, bad := range []time.Duration{0, -time.Second, maxPresign + time.Second} {
		_, err = s.Presign(t.Context(), ref.Digest, "f", bad)
		require.ErrorContains(t, err, "want 1s to", "%s", bad)
	}
	_, err = s.Presign(t.Context(), "sha256:x", "f", time.Minute)
	require.ErrorIs(t, err, artifact.ErrDigest)
}

func TestCredentialsOfTheEnvironment(t *testing.T) {
	cfg, _ := startServer(t)
	open(t, cfg)
	cfg.Bucket, cfg.AccessKey, cfg.SecretKey = "artifacts-none", "", ""
	cfg.CreateBucket = true
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	_, err := Open(t.Context(), cfg)
	require.NoError(t, err)
}

// TestAFolderThatGoesIsNoObstacle has every first put of a key refused as a gateway over a file system does while it removes the folder of the last object.
func TestAFolderThatGoesIsNoObstacle(t *testing.T) {
	cfg, _ := startServer(t)
	gateway, err := url.Parse("http://" + cfg.Endpoint)
	require.NoError(t, err)
	through, refused := httputil.NewSingleHostReverseProxy(gateway), map[string]bool{}
	var mu sync.Mutex
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		first := r.Method == http.MethodPut && strings.Contains(r.URL.Path, "sha256") && !refused[r.URL.Path]
		if first {
			refused[r.URL.Path] = true
		}
		mu.Unlock()
		if !first {
			through.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, "<Error><Code>ExistingObjectIsDirectory</Code><Message>Existing Object is a directory.</Message></Error>")
	}))
	defer front.Close()
	cfg.Endpoint = front.Listener.Addr().String()
	s := open(t, cfg)
	ref, err := artifact.PutBytes(t.Context(), s, artifacttest.Content(1000))
	require.NoError(t, err)
	require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest))
	require.NoError(t, s.Delete(t.Context(), ref.Digest, time.Now().Add(time.Hour)))
	require.Zero(t, stored(t, s))
	require.Len(t, refused, 2, "the object and the claim of its deletion")
}
