package access

import (
	"context"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// slowly is a hash that takes long enough for others to come meanwhile.
func slowly(t *testing.T) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte("secret"), 6)
	require.NoError(t, err)
	return string(h)
}

func TestAFloodOfWrongPasswordsKeepsNobodyOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, "users:\n- {name: ann, role: admin, password_bcrypt: %q}\n- {name: bob, role: read, password_bcrypt: %q}\n", slowly(t), slowly(t))
	p, err := Load(path)
	require.NoError(t, err)
	h := p.Wrap(echo())
	require.Equal(t, 200, ask(h, "GET", "/", "Authorization", basic("ann", "secret")).Code)
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for i := range 10 {
		flood.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
				r.RemoteAddr = "192.0.2.1:999"
				r.SetBasicAuth("ann", fmt.Sprintf("%d-%d", i, n))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code == 200 {
					t.Error("a wrong password got in")
				}
			}
		})
	}
	for range 100 {
		require.Equal(t, 200, ask(h, "GET", "/", "Authorization", basic("ann", "secret")).Code, "who was in stays in")
	}
	began := time.Now()
	require.Equal(t, 200, ask(h, "GET", "/", "Authorization", basic("bob", "secret")).Code, "who comes from elsewhere gets in")
	require.Less(t, time.Since(began), compareWait)
	stop()
	flood.Wait()
	require.Empty(t, p.compare.waiting)
}

func TestWhoWaitsTooLongIsTold(t *testing.T) {
	c := newComparer(time.Now)
	for range cap(c.turns) {
		c.turns <- struct{}{}
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errBusy)
	defer cancel()
	_, err := c.matches(ctx, attempt{name: "a", password: "b", decoy: []byte("$2a$"), from: "x"})
	require.ErrorIs(t, err, errBusy)
	require.Empty(t, c.waiting)
	w := httptest.NewRecorder()
	refuse(w, httptest.NewRequest("GET", "/api/2.0/x", nil), errBusy)
	require.Equal(t, 503, w.Code)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), "TEMPORARILY_UNAVAILABLE")
}

func TestMemory(t *testing.T) {
	now := time.Unix(0, 0)
	m := newMemory(time.Minute, func() time.Time { return now })
	id := func(n int) (out [32]byte) {
		copy(out[:], fmt.Sprint(n))
		return out
	}
	m.add(id(0))
	for n := 1; n <= remembered; n++ {
		require.True(t, m.has(id(0)), "what is asked for stays")
		m.add(id(n))
	}
	require.Len(t, m.byID, remembered)
	require.Equal(t, remembered, m.order.Len())
	require.True(t, m.has(id(0)))
	require.False(t, m.has(id(1)), "the one that was longest unasked went")
	now = now.Add(time.Minute)
	require.False(t, m.has(id(0)), "it ends at its time")
}
