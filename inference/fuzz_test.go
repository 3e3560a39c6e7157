package inference_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference"
)

// mutated returns bodies that are nearly right, the same ones each time.
func mutated(sound [][]byte, n int) [][]byte {
	rng := rand.New(rand.NewPCG(5, 5))
	words := []string{"null", "NaN", "1e999", "-0", `"\ud800"`, "[", "]", "{", "}", `"`, ",", ":", "\x00", "\xff", "[[[[[[[[", strings.Repeat("9", 400),
		strings.Repeat("[", 20000), `{"a":1},`, "\\", " ", "true", `"` + strings.Repeat("x", 5000) + `"`}
	out := make([][]byte, 0, n)
	for range n {
		b := bytes.Clone(sound[rng.IntN(len(sound))])
		for range 1 + rng.IntN(4) {
			at := rng.IntN(len(b) + 1)
			switch word := words[rng.IntN(len(words))]; rng.IntN(4) {
			case 0:
				b = append(b[:at:at], append([]byte(word), b[at:]...)...)
			case 1:
				b = b[:at]
			case 2:
				end := min(len(b), at+rng.IntN(20))
				b = append(b[:at:at], append([]byte(word), b[end:]...)...)
			case 3:
				if at < len(b) {
					b[at] ^= 1 << rng.IntN(8)
				}
			}
		}
		out = append(out, b)
	}
	return out
}

// fuzzed are the paths that FuzzEndpoints asks: the first half of them by the two that have most to read.
var fuzzed = []string{
	"/predict", inferPath, "/predict", v2Model + "/versions/1/infer", "/predict", inferPath, "/predict", v2Model + "/versions/1/infer",
	"/v2", v2Model, v2Model + "/ready", v2Model + "/versions/1", v2Model + "/versions/1/ready", v2Model + "/versions/2/infer", "/v2/health/live", "/v2/health/ready",
	"/openapi.json", "/docs", "/docs/page.js", "/health", "/readyz", "/livez", "/metrics", "/nothing",
}

const v2Model = "/v2/models/" + modelName

// methods are those of the other paths than /predict, most of the time what has a body.
var methods = []string{http.MethodPost, http.MethodGet, http.MethodPost, http.MethodPut}

// FuzzEndpoints sends bodies with options and headers to every endpoint of a running instance: there is never a panic nor a 5xx, what is answered is
// JSON, the answer over NATS is that over HTTP, and nothing is held afterwards.
func FuzzEndpoints(f *testing.F) {
	w := newWorld(f)
	c := w.config(f, "one")
	c.MaxRecords = 50
	i := run(f, c)
	all := records(f)
	w.promote(f, w.upload(f, 1))
	i.serves(f, 1, all[0])
	answersNATS(f, w, all[0])
	sound := [][]byte{all[0], all[1], []byte("[" + string(all[2]) + "," + string(all[3]) + "]"), v2(f), []byte("[]"), []byte("{}")}
	for n, body := range append(sound, mutated(sound, 150)...) {
		f.Add(uint8(n), uint8(n/2), body, "id-"+strconv.Itoa(n), []string{"", "1h", "x", "0s"}[n%4])
	}
	f.Add(uint8(1), uint8(7), []byte("\xef\xbb\xbf{}"), "\x00\r\n", "99999999999h")
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	f.Cleanup(client.CloseIdleConnections)
	f.Fuzz(func(t *testing.T, endpoint, options uint8, body []byte, id, deadline string) {
		path, method := fuzzed[int(endpoint)%len(fuzzed)], methods[int(options>>4)%len(methods)]
		query := ""
		for n, name := range []string{"strict", "partial", "explain"} {
			if options&(1<<n) != 0 {
				query += "&" + name + "=true"
			}
		}
		if path == "/predict" {
			method = http.MethodPost
		}
		code, answer := post(t, client, method+" http://"+i.Addr()+path+"?"+query, body, id, deadline, options&8 != 0)
		okCode(t, code, deadline, path, answer)
		if path != "/predict" || !valid(id) || !valid(deadline) {
			return
		}
		h := nats.Header{"Strict": {strconv.FormatBool(options&1 != 0)}, "Partial": {strconv.FormatBool(options&2 != 0)}, "Explain": {strconv.FormatBool(options&4 != 0)}}
		if id != "" {
			h["Request-Id"] = []string{id}
		}
		if deadline != "" {
			h["Deadline"] = []string{deadline}
		}
		if len(body) > 900<<10 { // no message
			return
		}
		subject := "predict." + modelName
		if options&16 != 0 {
			subject += ".v1"
		}
		msg, err := w.bus.Conn().RequestMsg(&nats.Msg{Subject: subject, Data: body, Header: h}, 20*time.Second)
		require.NoError(t, err)
		over := http.StatusOK
		if text := msg.Header.Get(micro.ErrorCodeHeader); text != "" {
			over, err = strconv.Atoi(text)
			require.NoError(t, err)
		}
		okCode(t, over, deadline, "NATS", msg.Data)
		if deadline == "" || deadline == "1h" {
			require.Equal(t, code, over, "HTTP says %s, NATS %s", answer, msg.Data)
			if id != "" || over != http.StatusOK {
				require.Equal(t, string(answer), string(msg.Data))
			}
		}
	})
	f.Cleanup(func() {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		require.Less(f, m.HeapInuse, uint64(600<<20))
		require.Zero(f, metric(f, i, "churn_inference_body_bytes"))
		require.Zero(f, metric(f, i, "churn_inference_in_flight"))
		_, metrics := i.get(f, "/metrics")
		require.NotContains(f, metrics, `code="500"`)
	})
}

// valid reports whether a header can hold the value over both transports.
func valid(v string) bool {
	for k := range len(v) {
		if v[k] < ' ' || v[k] > '~' {
			return false
		}
	}
	return v == strings.TrimSpace(v)
}

func okCode(t *testing.T, code int, deadline, where string, answer []byte) {
	t.Helper()
	if code == http.StatusGatewayTimeout && deadline != "" {
		return
	}
	require.Less(t, code, 500, "%s: %s", where, answer)
	if where == "/predict" || where == "NATS" || strings.HasSuffix(where, "/infer") {
		require.True(t, json.Valid(answer), "%s: %q", where, answer)
	}
}

// post sends a body, in chunks if asked to.
func post(t *testing.T, client *http.Client, where string, body []byte, id, deadline string, chunked bool) (int, []byte) {
	t.Helper()
	var r io.Reader = bytes.NewReader(body)
	if chunked {
		r = io.MultiReader(r) // of which nobody knows the length
	}
	method, url, _ := strings.Cut(where, " ")
	req, err := http.NewRequestWithContext(context.Background(), method, url, r)
	require.NoError(t, err)
	if id != "" && valid(id) {
		req.Header.Set(inference.HeaderRequestID, id)
	}
	if deadline != "" && valid(deadline) {
		req.Header.Set(inference.HeaderDeadline, deadline)
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, out
}
