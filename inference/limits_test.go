package inference_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
)

// send posts with headers.
func (i *instance) send(t testing.TB, path string, body []byte, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+i.Addr()+path, strings.NewReader(string(body)))
	require.NoError(t, err)
	for k := 0; k < len(headers); k += 2 {
		req.Header.Set(headers[k], headers[k+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(out)
}

// v2 is a request of the Open Inference Protocol for the record of its own bundle's schema.
func v2(t testing.TB) []byte {
	t.Helper()
	b, err := model.Decode(encoded(t, 1))
	require.NoError(t, err)
	var inputs []string
	for _, column := range b.Schema.Numeric() {
		inputs = append(inputs, fmt.Sprintf(`{"name":%q,"shape":[1],"datatype":"FP64","data":[1]}`, column))
	}
	for _, column := range b.Schema.Categorical() {
		inputs = append(inputs, fmt.Sprintf(`{"name":%q,"shape":[1],"datatype":"BYTES","data":["a"]}`, column))
	}
	return []byte(`{"inputs":[` + strings.Join(inputs, ",") + `]}`)
}

const inferPath = "/v2/models/" + modelName + "/infer"

// answering returns a world with an instance that answers over both transports, and a record.
func answering(t testing.TB, change func(*inference.Config)) (*world, *instance, []byte) {
	t.Helper()
	w := newWorld(t)
	c := w.config(t, "one")
	if change != nil {
		change(&c)
	}
	i := run(t, c)
	good := records(t)[0]
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, good)
	answersNATS(t, w, good)
	return w, i, good
}

func TestRequestIDsAreInAnswersAndEvents(t *testing.T) {
	w, i, good := answering(t, nil)
	ids := map[string]string{} // request to prediction
	for name, header := range map[string]string{"one": "Request-Id", "two": "X-Request-Id", "three": "request-id"} {
		code, h, body := i.send(t, "/predict", good, header, name)
		require.Equal(t, http.StatusOK, code, body)
		require.Equal(t, name, h.Get(inference.HeaderRequestID))
		ids[name] = decode(t, []byte(body)).PredictionID
		_, _, again := i.send(t, "/predict", good, header, name)
		require.Equal(t, body, again, "the same request again has the same answer, to the prediction id")
	}
	msg := w.request(t, good, nats.Header{"request-ID": {"four"}})
	require.Equal(t, "four", msg.Header.Get(inference.HeaderRequestID))
	ids["four"] = decode(t, msg.Data).PredictionID
	require.Equal(t, ids["four"], decode(t, w.request(t, good, nats.Header{"x-request-id": {"four"}}).Data).PredictionID)

	_, h, _ := i.send(t, "/predict", good)
	require.Empty(t, h.Get(inference.HeaderRequestID), "nobody asked for one, and the prediction has an id")
	_, h, _ = i.send(t, "/predict", []byte("junk"))
	require.NotEmpty(t, h.Get(inference.HeaderRequestID), "a failure can be named")
	require.NotEmpty(t, w.request(t, []byte("junk"), nil).Header.Get(inference.HeaderRequestID))
	for path, body := range map[string][]byte{inferPath: v2(t), inferPath + "?explain=x": v2(t), "/v2/models/other": nil, "/nothing": nil} {
		code, h, _ := i.send(t, path, body, "X-Request-Id", "five")
		require.Equal(t, "five", h.Get(inference.HeaderRequestID), path)
		_, h, _ = i.send(t, path, body)
		require.Equal(t, code >= 400, h.Get(inference.HeaderRequestID) != "", path)
	}
	for _, bad := range []string{strings.Repeat("a", 129), "a b", "\u00e9"} {
		code, _, body := i.send(t, "/predict", good, "Request-Id", bad)
		require.Equal(t, http.StatusUnprocessableEntity, code)
		require.Contains(t, body, `["header","Request-Id"]`)
		require.Equal(t, "422", w.request(t, good, nats.Header{"Request-Id": {bad}}).Header.Get(micro.ErrorCodeHeader))
	}
	i.stop()
	logged := map[string][]string{}
	for _, p := range read[*events.PredictionMade](t, w, events.Predictions) {
		if p.RequestID != "" {
			logged[p.RequestID] = append(logged[p.RequestID], p.PredictionID)
		}
	}
	for name, id := range ids {
		require.Equal(t, []string{id}, logged[name], "request %s is logged once, however often it came", name)
	}
}

func TestDeadlinesOfCallersAreHonoured(t *testing.T) {
	w, i, good := answering(t, nil)
	past, future := time.Now().Add(-time.Second).Format(time.RFC3339Nano), time.Now().Add(time.Hour).Format(time.RFC3339Nano)
	for _, tc := range []struct {
		deadline string
		code     int
	}{
		{past, http.StatusGatewayTimeout}, {"0s", http.StatusGatewayTimeout}, {"-1s", http.StatusGatewayTimeout}, {"1ns", http.StatusGatewayTimeout},
		{future, http.StatusOK}, {"1h", http.StatusOK}, {"soon", http.StatusUnprocessableEntity}, {"5", http.StatusUnprocessableEntity},
	} {
		code, _, body := i.send(t, "/predict", good, "Deadline", tc.deadline)
		require.Equal(t, tc.code, code, "%s: %s", tc.deadline, body)
		msg := w.request(t, good, nats.Header{"deadline": {tc.deadline}})
		if tc.code == http.StatusOK {
			require.Empty(t, msg.Header.Get(micro.ErrorCodeHeader), tc.deadline)
			continue
		}
		require.Equal(t, fmt.Sprint(tc.code), msg.Header.Get(micro.ErrorCodeHeader), tc.deadline)
		require.Equal(t, body, string(msg.Data), "the same body")
	}
	code, _, body := i.send(t, inferPath, v2(t), "Deadline", past)
	require.Equal(t, http.StatusGatewayTimeout, code, body)
	require.Contains(t, body, `{"error":`)
	code, _, body = i.send(t, inferPath, v2(t), "Deadline", "soon")
	require.Equal(t, http.StatusBadRequest, code)
	require.JSONEq(t, `{"error":"Deadline: must be an RFC 3339 time or a duration such as 250ms"}`, body)
	code, _, body = i.send(t, inferPath, v2(t), "Deadline", "1h")
	require.Equal(t, http.StatusOK, code, body)
	require.Equal(t, 9, metric(t, i, `churn_requests_rejected_total{reason="deadline"}`))
}

func TestInFlightBoundIsOneForAllEndpoints(t *testing.T) {
	_, i, good := answering(t, func(c *inference.Config) { c.InFlight = 1 })
	var done func()
	bustest.Eventually(t, func() bool { done = i.Admit(); return done != nil }, "the one place is free")
	for path, body := range map[string][]byte{"/predict": good, inferPath: v2(t)} {
		code, h, out := i.send(t, path, body)
		require.Equal(t, http.StatusTooManyRequests, code, out)
		require.Equal(t, "1", h.Get("Retry-After"), path)
	}
	require.Equal(t, 1, metric(t, i, "churn_inference_in_flight"))
	done()
	code, _, out := i.send(t, inferPath, v2(t))
	require.Equal(t, http.StatusOK, code, out)
}

// TestAnswersThatNobodyReadsAreBound has all the room for large answers taken.
func TestAnswersThatNobodyReadsAreBound(t *testing.T) {
	_, i, good := answering(t, nil)
	list := []byte("[" + strings.Repeat("{},", 999) + "{}]")
	large := strings.Replace(string(v2(t)), "[1]", "[1000]", -1)
	large = strings.Replace(strings.Replace(large, `"data":[1000]`, `"data":[1`+strings.Repeat(",1", 999)+`]`, -1), `"data":["a"]`, `"data":["a"`+strings.Repeat(`,"a"`, 999)+`]`, -1)
	read := i.FillAnswers()
	for path, body := range map[string]string{"/predict": string(list), inferPath: large} {
		code, h, out := i.send(t, path, []byte(body))
		require.Equal(t, http.StatusTooManyRequests, code, out)
		require.Equal(t, "1", h.Get("Retry-After"))
		require.NotEmpty(t, h.Get(inference.HeaderRequestID))
		require.Contains(t, out, "large answers that their clients do not read")
	}
	require.Equal(t, 2, metric(t, i, `churn_requests_rejected_total{reason="answers"}`))
	require.Equal(t, 1, i.predict(t, good).Version, "small ones go on")
	read()
	code, _, out := i.send(t, inferPath, []byte(large))
	require.Equal(t, http.StatusOK, code, out)
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_inference_answer_bytes") == 0 }, "what was read is not held")
}

// TestFaultsAreNamedUpToANumber sends a list that has more of them than bytes.
func TestFaultsAreNamedUpToANumber(t *testing.T) {
	_, i, _ := answering(t, nil)
	type refusal struct{ Detail []inference.Problem }
	var one, all refusal
	_, _, out := i.send(t, "/predict", []byte("{}"))
	decodeJSON(t, []byte(out), &one)
	list := []byte("[" + strings.Repeat("{},", 999) + "{}]")
	code, _, out := i.send(t, "/predict", list)
	require.Equal(t, http.StatusUnprocessableEntity, code)
	decodeJSON(t, []byte(out), &all)
	require.Len(t, all.Detail, 1001)
	each := len(one.Detail)
	require.Greater(t, each, 2)
	require.Equal(t, inference.Problem{Loc: []any{"body"}, Msg: fmt.Sprintf("and %d more faults", 1000*each-1000), Type: "too_long"}, all.Detail[1000])

	var parts []struct{ Error refusal }
	code, _, out = i.send(t, "/predict?partial=true", list)
	require.Equal(t, http.StatusOK, code, out)
	decodeJSON(t, []byte(out), &parts)
	require.Len(t, parts, 1000)
	require.Len(t, parts[0].Error.Detail, each)
	last := parts[999].Error.Detail
	require.Len(t, last, 2)
	require.Equal(t, fmt.Sprintf("and %d more faults", each-1), last[1].Msg)
	require.Equal(t, []any{"body", 999.0}, last[1].Loc)
}

// TestRefusedRequestsAreReadFirst goes on with the connection after requests that are refused for something else than their large body.
func TestRefusedRequestsAreReadFirst(t *testing.T) {
	_, i, good := answering(t, nil)
	conn, err := net.Dial("tcp", i.Addr())
	require.NoError(t, err)
	defer conn.Close()
	r, body := bufio.NewReader(conn), strings.Repeat(" ", 900<<10)
	for _, tc := range []struct {
		head string
		code int
	}{
		{"POST /predict HTTP/1.1\r\nDeadline: soon\r\n", 422}, {"PUT /predict HTTP/1.1\r\n", 405}, {"POST /predict HTTP/1.1\r\nRequest-Id: a b\r\n", 422},
		{"POST /%zz HTTP/1.1\r\n", 400}, {"POST " + inferPath + " HTTP/1.1\r\nDeadline: soon\r\n", 400},
	} {
		_, err = fmt.Fprintf(conn, "%sHost: x\r\nContent-Length: %d\r\n\r\n%s", tc.head, len(body), body)
		require.NoError(t, err)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.Equal(t, tc.code, resp.StatusCode, tc.head)
		require.False(t, resp.Close, tc.head)
	}
	_, err = fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(good), good)
	require.NoError(t, err)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// TestHugeBodiesAreRefusedOnEveryRoute sends 100 MB by many clients at once, and none of it is held.
func TestHugeBodiesAreRefusedOnEveryRoute(t *testing.T) {
	_, i, good := answering(t, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	type refusal struct {
		what string
		code int
		err  error
	}
	refusals := make(chan refusal)
	sent := 0
	for _, path := range []string{"/predict", inferPath, "/v2", "/health", "/metrics", "/nothing"} {
		for _, framing := range []string{"Content-Length: 104857600", "Transfer-Encoding: chunked"} {
			for range 5 {
				sent++
				go func() {
					code, err := pour(i.Addr(), path, framing)
					refusals <- refusal{path + " " + framing, code, err}
				}()
			}
		}
	}
	for range sent {
		r := <-refusals
		require.NoError(t, r.err, r.what)
		require.Equal(t, http.StatusRequestEntityTooLarge, r.code, r.what)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.HeapInuse, before.HeapInuse+300<<20, "not the 6 GB that were offered")
	require.Equal(t, 1, i.predict(t, good).Version)
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_inference_body_bytes") == 0 }, "nothing is held")
}

// pour sends up to 100 MB and returns what it is told.
func pour(addr, path, framing string) (code int, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", path, framing); err != nil {
		return 0, err
	}
	go func() {
		chunk := "10000\r\n" + strings.Repeat(" ", 1<<16) + "\r\n"
		for range 1600 {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return // it was cut off, which is what it is for
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestSlowSendersAreCutOff(t *testing.T) {
	_, i, good := answering(t, func(c *inference.Config) { c.HTTP.Read = 300 * time.Millisecond })
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(good))
	cut := make(chan error)
	sends := []struct{ path, begin string }{
		{"/predict", length + string(good[:10])}, {inferPath, length + "{"}, {"/predict", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
		{"/predict", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"}, {inferPath, "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
	}
	for _, s := range sends {
		go func() { cut <- begin(i.Addr(), s.path, s.begin) }()
	}
	for range sends {
		require.NoError(t, <-cut)
	}
}

// begin begins a request, and returns an error unless it is told that it took too long and is cut off.
func begin(addr, path, first string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s", path, first); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) { // not a word came in time on a busy machine, so there was nothing to answer
		return begin(addr, path, first)
	}
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusRequestTimeout || !resp.Close {
		return fmt.Errorf("%s %q: %s, to be closed: %t", path, first, resp.Status, resp.Close)
	}
	_, err = io.ReadAll(r)
	return err
}

func TestRoutesAnswerWhatTheyAreAsked(t *testing.T) {
	_, i, good := answering(t, nil)
	for _, tc := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/health", 200}, {"HEAD", "/health", 200}, {"GET", "/livez", 200}, {"GET", "/readyz", 200}, {"GET", "/metrics", 200},
		{"GET", "/v2", 200}, {"GET", "/v2/health/ready", 200}, {"GET", "/v2/models/" + modelName, 200}, {"GET", "/openapi.json", 200},
		{"GET", "/docs", 200}, {"GET", "/docs/page.js", 200}, {"HEAD", "/predict", 405}, {"PUT", "/predict", 405}, {"DELETE", "/health", 404},
		{"GET", "/v2/models/other", 404}, {"GET", "/nothing", 404}, {"GET", "/%zz", 400}, {"OPTIONS", "*", 400},
		{"GET", "no-path", 400},
	} {
		conn, err := net.Dial("tcp", i.Addr())
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", tc.method, tc.path)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: tc.method})
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, tc.code, resp.StatusCode, "%s %s: %s", tc.method, tc.path, body)
		require.NoError(t, conn.Close())
	}
	_, metrics := i.get(t, "/metrics")
	require.NotContains(t, metrics, `route="/nothing"`, "no label that a client can choose")
	require.Contains(t, metrics, `route="/v2"`)
	require.Contains(t, metrics, `churn_http_requests_total{code="400",method="other",route="other"} 1`, "what could not be read is counted, too")
	require.Contains(t, metrics, `churn_prediction_score_bucket{model="`+modelName+`",version="1",le="0.3"}`)
	require.Equal(t, 1, i.predict(t, good).Version)
}

func TestVersionsCanBeNamedOverNATS(t *testing.T) {
	w, i, good := answering(t, nil)
	ask := func(subject string) (*nats.Msg, error) { return w.bus.Conn().Request(subject, good, 5*time.Second) }
	infos := func() micro.Info {
		var info micro.Info
		msg, err := w.bus.Conn().Request("$SRV.INFO.churn-inference", nil, 5*time.Second)
		require.NoError(t, err)
		decodeJSON(t, msg.Data, &info)
		return info
	}
	subject := "predict." + modelName
	for version := 2; version <= 3; version++ {
		w.promote(t, w.upload(t, uint64(version)))
		i.serves(t, version, good)
		bustest.Eventually(t, func() bool { return infos().Metadata["version"] == fmt.Sprint(version) }, "INFO names the version")
		for _, named := range []int{version - 1, version} {
			msg, err := ask(fmt.Sprint(subject, ".v", named))
			require.NoError(t, err)
			require.Equal(t, named, decode(t, msg.Data).Version)
		}
	}
	bustest.Eventually(t, func() bool {
		_, err := ask(subject + ".v1")
		return err != nil
	}, "a version that is not held has no responders")
	_, err := ask(subject + ".v1")
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.Equal(t, "3,2", infos().Metadata["versions"])
}

func TestStopTellsReadiness(t *testing.T) {
	var health *app.Health
	w, i, good := answering(t, func(c *inference.Config) { health = c.Health })
	bustest.Eventually(t, health.Ready, "the instance that answers is ready")
	i.stop()
	require.False(t, health.Ready())
	require.Equal(t, app.Check{Detail: "the instance is stopping"}, health.Checks()["running"])
	_, err := w.bus.Conn().Request("predict."+modelName, good, 5*time.Second)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func decodeJSON(t testing.TB, data []byte, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(data, v), string(data))
}
