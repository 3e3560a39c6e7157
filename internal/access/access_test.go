package access

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// hash is a bcrypt hash of the least cost.
func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	require.NoError(t, err)
	return string(h)
}

func write(t *testing.T, path, format string, args ...any) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600))
}

// load returns a policy of ann (admin, password "secret"), bob (read, password "bob's") and ci (log, token "tok").
func load(t *testing.T) *Policy {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, "users:\n- {name: ann, role: admin, password_bcrypt: %q}\n- {name: bob, role: read, password_bcrypt: %q}\n- {name: ci, role: log, token_sha256: %s}\n",
		hash(t, "secret"), hash(t, "bob's"), TokenDigest("tok"))
	p, err := Load(path)
	require.NoError(t, err)
	return p
}

// echo answers with who came through, or refuses those without the role that the query names.
func echo() http.Handler {
	say := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := From(r.Context())
		fmt.Fprintf(w, "%s/%s", who.Name, who.Role)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if need := r.URL.Query().Get("need"); need != "" {
			Require(Role(need), say).ServeHTTP(w, r)
			return
		}
		say(w, r)
	})
}

// ask sends a request and returns its answer.
func ask(h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:5000"+target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func basic(name, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

func TestLogins(t *testing.T) {
	h := load(t).Wrap(echo())
	for _, tc := range []struct {
		name, auth string
		code       int
		body       string
	}{
		{"none", "", 401, ""},
		{"password", basic("ann", "secret"), 200, "ann/admin"},
		{"the same again", basic("ann", "secret"), 200, "ann/admin"},
		{"wrong password", basic("ann", "Secret"), 401, ""},
		{"wrong again", basic("ann", "Secret"), 401, ""},
		{"another's password", basic("ann", "bob's"), 401, ""},
		{"no such user", basic("eve", "secret"), 401, ""},
		{"empty", basic("", ""), 401, ""},
		{"the hash itself", basic("ann", "$2a$"), 401, ""},
		{"long password", basic("ann", "secret"+strings.Repeat("x", 5000)), 401, ""},
		{"token", "Bearer tok", 200, "ci/log"},
		{"scheme in small letters", "bearer tok", 200, "ci/log"},
		{"token as a browser sends it", basic("ci", "tok"), 200, "ci/log"},
		{"token of another name", basic("bob", "tok"), 401, ""},
		{"wrong token", "Bearer tokk", 401, ""},
		{"empty token", "Bearer ", 401, ""},
		{"the token's digest", "Bearer " + TokenDigest("tok"), 401, ""},
		{"password as a token", "Bearer secret", 401, ""},
		{"unknown scheme", "Digest tok", 401, ""},
		{"junk", "Basic !!!", 401, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			headers := []string{"Authorization", tc.auth}
			if tc.auth == "" {
				headers = nil
			}
			for _, path := range []string{"/", "/api/2.0/mlflow/runs/get"} {
				w := ask(h, "GET", path, headers...)
				require.Equal(t, tc.code, w.Code, path)
				if tc.code == 200 {
					require.Equal(t, tc.body, w.Body.String())
					continue
				}
				require.Equal(t, []string{`Basic realm="churn", charset="UTF-8"`, `Bearer realm="churn"`}, w.Header()["Www-Authenticate"])
				require.NotContains(t, w.Body.String(), "secret")
			}
		})
	}
}

func TestRoles(t *testing.T) {
	for i, have := range Roles() {
		for j, need := range Roles() {
			require.Equal(t, i >= j, have.Includes(need), "%s for %s", have, need)
		}
		require.False(t, have.Includes("superuser"))
		require.False(t, Role("superuser").Includes(have))
	}
	h := load(t).Wrap(echo())
	require.Equal(t, 200, ask(h, "POST", "/api/2.0/mlflow/runs/create?need=log", "Authorization", "Bearer tok").Code)
	w := ask(h, "POST", "/api/2.0/mlflow/model-versions/create?need=register", "Authorization", "Bearer tok")
	require.Equal(t, 403, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var body map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	require.Equal(t, map[string]string{"error_code": "PERMISSION_DENIED", "message": "not permitted: ci has role log, this needs register"}, body)
	w = ask(h, "GET", "/models?need=register", "Authorization", "Bearer tok")
	require.Equal(t, 403, w.Code)
	require.Contains(t, w.Header().Get("Content-Type"), "text/html")

	require.ErrorIs(t, Allow(context.Background(), Read), ErrUnauthenticated, "a context that passed no policy is nobody's")
	require.NoError(t, Allow(With(context.Background(), Principal{Name: "x", Role: Promote}), Register))
	_, err := ParseRole("root")
	require.ErrorContains(t, err, "read, log, register, promote, admin")
}

func TestUnauthenticatedOnTheWire(t *testing.T) {
	for _, prefix := range []string{"/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/"} {
		w := ask(load(t).Wrap(echo()), "GET", prefix+"x")
		require.Equal(t, 401, w.Code)
		require.JSONEq(t, `{"error_code":"UNAUTHENTICATED","message":"login required"}`, w.Body.String())
	}
}

func TestProbesAndMetrics(t *testing.T) {
	p := load(t)
	h := p.Wrap(echo())
	for _, path := range []string{"/health", "/livez", "/readyz"} {
		require.Equal(t, 200, ask(h, "GET", path).Code, path)
		require.Equal(t, 401, ask(h, "POST", path).Code, path)
	}
	for _, path := range []string{"/health/x", "//health", "/", "/metrics"} {
		require.Equal(t, 401, ask(h, "GET", path).Code, path)
	}
	require.Equal(t, 200, ask(h, "GET", "/metrics", "Authorization", basic("bob", "bob's")).Code)
	write(t, p.path, "open_metrics: true\nusers:\n- {name: ci, role: log, token_sha256: %s}\n", TokenDigest("tok"))
	require.NoError(t, p.Reload())
	require.Equal(t, 200, ask(h, "GET", "/metrics").Code)
	require.Equal(t, 401, ask(h, "GET", "/").Code)
}

func TestOtherSites(t *testing.T) {
	for name, p := range map[string]*Policy{"nobody": nil, "open": Open(), "users": load(t)} {
		t.Run(name, func(t *testing.T) {
			h := p.Wrap(echo())
			auth := []string{"Authorization", basic("ann", "secret")}
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
				for _, path := range []string{"/models/m/promote", "/api/2.0/mlflow/runs/delete"} {
					require.Equal(t, 200, ask(h, method, path, auth...).Code, "a program")
					require.Equal(t, 200, ask(h, method, path, append(auth, "Sec-Fetch-Site", "same-origin")...).Code)
					require.Equal(t, 200, ask(h, method, path, append(auth, "Origin", "http://127.0.0.1:5000")...).Code)
					require.Equal(t, 403, ask(h, method, path, append(auth, "Sec-Fetch-Site", "cross-site")...).Code)
					require.Equal(t, 403, ask(h, method, path, append(auth, "Sec-Fetch-Site", "same-site")...).Code)
					require.Equal(t, 403, ask(h, method, path, append(auth, "Origin", "https://evil.example")...).Code)
					require.Equal(t, 403, ask(h, method, path, append(auth, "Origin", "null")...).Code)
				}
			}
			require.Equal(t, 200, ask(h, "GET", "/", append(auth, "Sec-Fetch-Site", "cross-site")...).Code, "a link")
		})
	}
}

func TestWithoutUsers(t *testing.T) {
	require.Equal(t, "anonymous/admin", ask((*Policy)(nil).Wrap(echo()), "GET", "/?need=admin").Body.String())
	require.Equal(t, "anonymous/admin", ask(Open().Wrap(echo()), "GET", "/?need=admin").Body.String())
	require.Zero(t, (*Policy)(nil).Users())
	require.NoError(t, (*Policy)(nil).Reload())
	for host, own := range map[string]bool{
		"localhost:5000": true, "LOCALHOST": true, "127.0.0.1:5000": true, "[::1]:5000": true, "::1": true, "10.0.0.7:5000": true, "app.localhost:5000": true,
		"localhost.": true, "evil.example:5000": false, "localhost.evil.example": false, "127.0.0.1.evil.example:5000": false, "xlocalhost": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		(*Policy)(nil).Wrap(echo()).ServeHTTP(w, r)
		require.Equal(t, own, w.Code == 200, "%s: %s", host, w.Body)
		w = httptest.NewRecorder()
		Open().Wrap(echo()).ServeHTTP(w, r)
		require.Equal(t, 200, w.Code, host)
	}
}

func TestFaultsOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	_, err := Load(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	good := hash(t, "secret")
	costly := "$2a$15$" + good[7:]
	for _, tc := range []struct{ text, want string }{
		{"", "no users"},
		{"users: []", "no users"},
		{"user: []", "user"},
		{"users:\n- {name: a, role: read, password: secret}", "password"},
		{"users:\n- {role: read, token_sha256: " + TokenDigest("a") + "}", "name is required"},
		{"users:\n- {name: a, role: root, token_sha256: " + TokenDigest("a") + "}", "want read, log"},
		{"users:\n- {name: a, token_sha256: " + TokenDigest("a") + "}", "want read, log"},
		{"users:\n- {name: a, role: read}", "is required"},
		{"users:\n- {name: 'a:b', role: read, token_sha256: " + TokenDigest("a") + "}", "colon"},
		{"users:\n- {name: anonymous, role: read, token_sha256: " + TokenDigest("a") + "}", "everybody"},
		{"users:\n- {name: a, role: read, token_sha256: secret}", "64 hexadecimal"},
		{"users:\n- {name: a, role: read, password_bcrypt: secret}", "no bcrypt hash"},
		{"users:\n- {name: a, role: read, password_bcrypt: '" + costly + "'}", "cost 15"},
		{"users:\n- {name: a, role: read, password_bcrypt: '" + good + "'}\n- {name: a, role: log, token_sha256: " + TokenDigest("a") + "}", "taken"},
		{"users:\n- {name: a, role: read, token_sha256: " + TokenDigest("a") + "}\n- {name: b, role: log, token_sha256: " + TokenDigest("a") + "}", "token of"},
		{strings.Repeat("#", maxFile+1), "more than"},
		{"users: [", "users"},
	} {
		write(t, path, "%s", tc.text)
		_, err := Load(path)
		require.ErrorContains(t, err, tc.want, "%.200s", tc.text)
		require.NotContains(t, err.Error(), good, "%.200s", tc.text)
	}
}

func TestReload(t *testing.T) {
	p := load(t)
	p.every = 20 * time.Millisecond
	h := p.Wrap(echo())
	old := []string{"Authorization", basic("ann", "secret")}
	require.Equal(t, 200, ask(h, "GET", "/", old...).Code)
	var logged syncBuffer
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, slog.New(slog.NewTextHandler(&logged, nil))) }()
	defer func() {
		cancel()
		require.NoError(t, <-done)
	}()

	write(t, p.path, "users: [")
	require.Error(t, p.Reload())
	require.Equal(t, 200, ask(h, "GET", "/", old...).Code, "the former users stay")
	write(t, p.path, "users:\n- {name: ann, role: read, password_bcrypt: %q}\n", hash(t, "another"))
	require.Eventually(t, func() bool { return ask(h, "GET", "/", old...).Code == 401 }, 10*time.Second, 20*time.Millisecond,
		"a password that was changed is not remembered")
	require.Equal(t, "ann/read", ask(h, "GET", "/", "Authorization", basic("ann", "another")).Body.String())
	require.Equal(t, 1, p.Users())
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "logins refused") }, 5*time.Second, 10*time.Millisecond)
	require.Contains(t, logged.String(), "last_name=ann")
	require.NotContains(t, logged.String(), "secret")
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "users file read again") }, 5*time.Second, 10*time.Millisecond)
	require.NoError(t, os.Remove(p.path))
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "the former users stay") }, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, 200, ask(h, "GET", "/", "Authorization", basic("ann", "another")).Code)
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestAddUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	one := User{Name: "o'ne \"1\"", Role: Admin, PasswordBcrypt: hash(t, "secret-1")}
	require.NoError(t, AddUser(path, one))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, AddUser(path, User{Name: "two", Role: Log, TokenSHA256: TokenDigest("t2")}))
	p, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, 2, p.Users())
	h := p.Wrap(echo())
	require.Equal(t, one.Name+"/admin", ask(h, "GET", "/", "Authorization", basic(one.Name, "secret-1")).Body.String())
	require.Equal(t, "two/log", ask(h, "GET", "/", "Authorization", "Bearer t2").Body.String())

	require.ErrorContains(t, AddUser(path, User{Name: "two", Role: Read, TokenSHA256: TokenDigest("t3")}), "taken")
	require.ErrorContains(t, AddUser(path, User{Name: "three", Role: "root", TokenSHA256: TokenDigest("t3")}), "role")

	write(t, path, "# kept\nusers:\n    - name: a # kept too\n      role: read\n      token_sha256: %s", TokenDigest("a"))
	require.NoError(t, os.Chmod(path, 0o640))
	require.NoError(t, AddUser(path, one))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(raw), "# kept\n")
	require.Contains(t, string(raw), "# kept too")
	info, err = os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	p, err = Load(path)
	require.NoError(t, err)
	require.Equal(t, 2, p.Users())

	write(t, path, "users: [{name: a, role: read, token_sha256: %s}]\nopen_metrics: true\n", TokenDigest("a"))
	require.NoError(t, AddUser(path, one), "a list that can't be appended to as text")
	p, err = Load(path)
	require.NoError(t, err)
	require.Equal(t, 2, p.Users())
	require.True(t, p.openMetrics())
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".users-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
