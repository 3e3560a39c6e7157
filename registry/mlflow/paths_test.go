package mlflow

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPathsAreAnsweredAsTheyAreSent(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	for _, tc := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"PUT", "/api/2.0/mlflow-artifacts/artifacts/a//b", 400, "INVALID_PARAMETER_VALUE"},
		{"PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/a/./b", 400, "INVALID_PARAMETER_VALUE"},
		{"PUT", "/api/2.0/mlflow-artifacts/artifacts/a/../b", 400, "INVALID_PARAMETER_VALUE"},
		{"GET", "/api/2.0/mlflow-artifacts/artifacts/a//b", 400, "INVALID_PARAMETER_VALUE"},
		{"GET", "/api/2.0//mlflow/experiments/get?experiment_id=0", 404, "ENDPOINT_NOT_FOUND"},
		{"GET", "/api//", 404, "ENDPOINT_NOT_FOUND"},
		{"POST", "/api/../api/2.0/mlflow/experiments/create", 404, "ENDPOINT_NOT_FOUND"},
		{"GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", 200, ""},
	} {
		// By hand: no client library changes the path.
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.base, "http://"), 5*time.Second)
		require.NoError(t, err)
		_, err = conn.Write([]byte(tc.method + " " + tc.path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"))
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		dump, err := httputil.DumpResponse(resp, true)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, conn.Close())
		require.Equal(t, tc.status, resp.StatusCode, "%s %s: %s", tc.method, tc.path, dump)
		var body wireError
		_, text, _ := strings.Cut(string(dump), "\r\n\r\n")
		require.NoError(t, json.Unmarshal([]byte(text), &body), text)
		require.EqualValues(t, tc.code, body.Code, text)
	}
}
