package registry

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/access"
)

// A registry without users answers to its own machine's names alone, so that a web page that points its name here reaches nothing.
func TestWithoutUsersOwnNamesAlone(t *testing.T) {
	r := newRig(t)
	mount := func(c *Config) {
		c.Mounts = []Mount{func(_ *Service, mux *http.ServeMux) error {
			mux.HandleFunc("GET /who", func(http.ResponseWriter, *http.Request) {})
			return nil
		}}
	}
	ask := func(s *running, host string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+"/who", nil)
		require.NoError(t, err)
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	closed := r.start(mount)
	require.Equal(t, http.StatusOK, ask(closed, ""))
	require.Equal(t, http.StatusOK, ask(closed, "localhost:5000"))
	require.Equal(t, http.StatusForbidden, ask(closed, "elsewhere.example:5000"))
	open := r.start(mount, func(c *Config) { c.Access = access.Open() })
	require.Equal(t, http.StatusOK, ask(open, "elsewhere.example:5000"))
}
