package mlflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/artifacttest"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/registry"
)

// escaped encodes every segment of a path.
func escaped(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// listed returns what a listing of the proxy shows of a folder: folders with a slash behind them, files with their size.
func (s *running) listed(folder string) []string {
	s.t.Helper()
	var out []string
	files, _ := s.call("GET", strings.TrimSuffix(proxy, "/")+query("path", folder), nil)["files"].([]any)
	for _, f := range files {
		file := f.(fields)
		if file["is_dir"].(bool) {
			require.NotContains(s.t, file, "file_size")
			out = append(out, file["path"].(string)+"/")
		} else {
			out = append(out, fmt.Sprint(file["path"], " ", file["file_size"]))
		}
	}
	return out
}

func TestFilesOfAnyNameComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	root := "files/" + "root"
	for _, name := range []string{
		"plain.txt", "with space.txt", "ключ/значение.csv", "模型/特徵.json", "عربى.md", "a+b&c=d#e?f%g.txt", `quote".txt`, "e\u0301 combining", "emoji 🧪.png",
		"deep/" + strings.Repeat("x/", 60) + "end", strings.Repeat("n", 255), "%2e%2e", "-", "...", "semi;colon,comma",
	} {
		content := []byte("content of " + name)
		status, out := s.do("PUT", proxy+escaped(root+"/"+name), content)
		require.Equal(t, http.StatusOK, status, "%s: %s", name, out)
		require.JSONEq(t, "{}", string(out))
		status, out = s.do("GET", proxy+escaped(root+"/"+name), nil)
		require.Equal(t, http.StatusOK, status, "%s: %s", name, out)
		require.Equal(t, string(content), string(out))
		// an encoded slash is a slash, as other servers of this API take it
		status, out = s.do("GET", proxy+url.PathEscape(root+"/"+name), nil)
		require.Equal(t, http.StatusOK, status, "%s: %s", name, out)
	}
	require.Contains(t, s.listed(root), "with space.txt 25")
	require.Equal(t, []string{"значение.csv 40"}, s.listed(root+"/ключ"))
	require.Equal(t, []string{"root/"}, s.listed("files/"))
	require.Empty(t, s.listed("nowhere"))
}

func TestAFileIsWhatWasPutLast(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	for _, content := range []string{"first", "first", "second", ""} {
		status, _ := s.do("PUT", proxy+"shared/f", content)
		require.Equal(t, http.StatusOK, status)
		status, out := s.do("GET", proxy+"shared/f", nil)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, content, string(out))
		require.Equal(t, []string{fmt.Sprint("f ", len(content))}, s.listed("shared"))
	}
}

func TestFoldersAndFilesAreRemoved(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	for _, name := range []string{"d/a", "d/sub/b", "d/sub/c", "dx/e"} {
		s.call("PUT", proxy+name, "x")
	}
	s.call("DELETE", proxy+"d/sub/c", nil)
	require.Equal(t, []string{"b 1"}, s.listed("d/sub"))
	s.call("DELETE", proxy+"d", nil)
	require.Empty(t, s.listed("d"))
	require.Equal(t, []string{"e 1"}, s.listed("dx"))
	s.refused("GET", proxy+"d/a", nil, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST")
	s.call("PUT", proxy+"d/a", "again")
	require.Equal(t, []string{"a 5"}, s.listed("d"))
}

func TestALargeFileStreams(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	const size = artifact.SpoolMemory + 3*chunk + 7
	content := make([]byte, size)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	s.call("PUT", proxy+"shared/large.bin", content)
	res, err := http.Get(s.base + proxy + "shared/large.bin")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, int64(size), res.ContentLength)
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, sha256.Sum256(content), sha256.Sum256(got))
	// without a length the body comes in chunks, and its end is where the client says
	s.call("PUT", proxy+"shared/chunked", io.MultiReader(strings.NewReader("in "), strings.NewReader("pieces")))
	_, out := s.do("GET", proxy+"shared/chunked", nil)
	require.Equal(t, "in pieces", string(out))
}

func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	s.call("PUT", proxy+"shared/kept", "as it was")
	for _, test := range []struct{ name, request string }{
		{"by length", "PUT " + proxy + "shared/kept HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nonly this"},
		{"by chunk", "PUT " + proxy + "shared/kept HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nonly this"},
		{"before the last chunk", "PUT " + proxy + "shared/kept HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, test.request)
			require.NoError(t, err)
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Contains(t, string(answer), "HTTP/1.1 400")
			require.Contains(t, string(answer), "BAD_REQUEST")
			_, out := s.do("GET", proxy+"shared/kept", nil)
			require.Equal(t, "as it was", string(out))
		})
	}
}

func TestDownloadsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	for name, want := range map[string]string{
		"MLmodel": "text/plain; charset=utf-8", "conda.yaml": "text/plain; charset=utf-8", "a.json": "application/json", "a.png": "image/png",
		"a.html": "text/html; charset=utf-8", "a.pkl": "application/octet-stream", "nothing": "application/octet-stream",
	} {
		s.call("PUT", proxy+"shared/"+name, name)
		res, err := http.Get(s.base + proxy + "shared/" + name)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.Header.Get("Content-Type"), name)
		require.Equal(t, "attachment; filename="+name, res.Header.Get("Content-Disposition"))
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "sandbox")
	}
	sum := sha256.Sum256([]byte("a.json"))
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	req, err := http.NewRequest("GET", s.base+proxy+"shared/a.json", nil)
	require.NoError(t, err)
	req.Header.Set("If-None-Match", tag)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusNotModified, res.StatusCode)
	require.Equal(t, tag, res.Header.Get("ETag"))
	res, err = http.Head(s.base + proxy + "shared/a.json")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, int64(len("a.json")), res.ContentLength)
}

// damaged is a store whose disk changed the last byte of everything.
type damaged struct{ artifact.Store }

func (d damaged) Open(ctx context.Context, digest artifact.Digest) (io.ReadCloser, error) {
	content, err := artifact.ReadAll(ctx, d.Store, digest, 1<<30)
	if err != nil {
		return nil, err
	}
	ref := artifact.Ref{Digest: digest, Size: int64(len(content))}
	content[len(content)-1]++
	return artifact.NewVerifier(io.NopCloser(bytes.NewReader(content)), ref), nil
}

func TestDamagedContentIsNeverHandedOutAsWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start(func(c *registry.Config) { c.Store = damaged{r.store} })
	s.call("PUT", proxy+"shared/small", "small")
	s.refused("GET", proxy+"shared/small", nil, http.StatusInternalServerError, "INTERNAL_ERROR")
	for _, size := range []int{2 * chunk, 2*chunk + 1, 5*chunk - 1} {
		s.call("PUT", proxy+"shared/large", make([]byte, size))
		res, err := http.Get(s.base + proxy + "shared/large")
		if err == nil {
			require.Equal(t, int64(size), res.ContentLength)
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(t, res.Body.Close())
		}
		require.Error(t, err, "%d bytes", size)
	}
}

// linked is a store that hands out links.
type linked struct{ artifact.Store }

func (linked) Presign(_ context.Context, d artifact.Digest, name string, expires time.Duration) (string, error) {
	return fmt.Sprintf("https://store.invalid/%s?name=%s&expires=%s", d.Hex(), url.QueryEscape(name), expires), nil
}

func TestAPresignedDownloadIsARedirect(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start(func(c *registry.Config) { c.Store = linked{r.store} })
	s.call("PUT", proxy+"shared/a%20b.txt", "content")
	res, err := http.DefaultTransport.RoundTrip(httptest.NewRequest("GET", s.base+proxy+"shared/a%20b.txt?presigned=true", nil))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusTemporaryRedirect, res.StatusCode)
	require.Equal(t, "https://store.invalid/"+artifact.DigestOf([]byte("content")).Hex()+"?name=a+b.txt&expires=15m0s", res.Header.Get("Location"))
	status, out := s.do("GET", proxy+"shared/a%20b.txt", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "content", string(out))
	plain := r.start() // the store of the rig can't
	status, out = plain.do("GET", proxy+"shared/a%20b.txt?presigned=true", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "content", string(out))
}

func TestAFullStoreIsToldAndNotTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	small, err := objstore.Open(t.Context(), r.bus.JetStream(), objstore.Config{Bucket: "small", Replicas: 1, MaxBytes: 1 << 20, RetryFor: time.Second})
	require.NoError(t, err)
	var log bytes.Buffer
	s := r.start(func(c *registry.Config) { c.Store, c.Log = small, slog.New(slog.NewTextHandler(&log, nil)) })
	status, out := s.do("PUT", proxy+"shared/big.bin", artifacttest.Content(2<<20))
	require.Equal(t, http.StatusInsufficientStorage, status, "clients repeat a 503")
	require.JSONEq(t, `{"error_code": "RESOURCE_EXHAUSTED", "message": "the artifact store is full: no room for shared/big.bin"}`, string(out))
	s.call("PUT", proxy+"shared/small.bin", "content")
	s.stop()
	require.Contains(t, log.String(), "maximum bytes exceeded", "which the operator reads")
}

// clocked is a connection that keeps the deadlines it is given.
type clocked struct {
	http.ResponseWriter
	reads []time.Time
}

func (c *clocked) SetReadDeadline(at time.Time) error {
	c.reads = append(c.reads, at)
	return nil
}

func TestAnUploadMayTakeAsLongAsItMoves(t *testing.T) {
	conn := &clocked{ResponseWriter: httptest.NewRecorder()}
	u := &upload{r: io.MultiReader(strings.NewReader("ab"), strings.NewReader("cd")), control: http.NewResponseController(conn)}
	p := make([]byte, 2)
	_, err := u.Read(p)
	require.NoError(t, err)
	require.Len(t, conn.reads, 1)
	require.WithinDuration(t, time.Now().Add(stall), conn.reads[0], 5*time.Second)
	_, err = u.Read(p) // at once: the deadline is good still
	require.NoError(t, err)
	require.Len(t, conn.reads, 1)
	u.extended = u.extended.Add(-2 * time.Second)
	_, err = u.Read(p)
	require.ErrorIs(t, err, io.EOF)
	require.Len(t, conn.reads, 2)
	require.NoError(t, u.err, "the end is no fault")
	u.r = io.MultiReader(strings.NewReader(""), &failing{})
	_, err = u.Read(p)
	require.Error(t, err)
	require.ErrorIs(t, u.err, errFailing)
}

var errFailing = errors.New("broken off")

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errFailing }
