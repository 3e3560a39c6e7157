package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// reloadEvery is how often the file is looked at.
const reloadEvery = 2 * time.Second

// Policy decides who may come in. Make it by Load or Open; a nil *Policy lets everybody in from the own machine. It is safe for
// concurrent use.
type Policy struct {
	path  string // empty: no users
	every time.Duration

	reload  sync.Mutex // held while the file is read
	digest  [sha256.Size]byte
	users   atomic.Pointer[directory]
	compare *comparer

	refused atomic.Uint64 // logins with wrong credentials
	last    atomic.Pointer[refusal]
}

// refusal is a login that failed.
type refusal struct{ name, from string }

// Open returns a policy without users: everybody is an administrator called "anonymous", whatever name the server is reached by.
func Open() *Policy { return &Policy{} }

// Load reads the users file at path. It returns every fault of the file at once. The file is read again by Run and Reload.
func Load(path string) (*Policy, error) {
	p := &Policy{path: path, every: reloadEvery, compare: newComparer(time.Now)}
	if _, err := p.read(); err != nil {
		return nil, err
	}
	return p, nil
}

// Users returns how many users there are, 0 for a policy without a file.
func (p *Policy) Users() int {
	if p == nil || p.path == "" {
		return 0
	}
	return len(p.users.Load().byName)
}

// Reload reads the file again at once, as for SIGHUP. After an error the users are those that were. Without a file it does nothing.
func (p *Policy) Reload() error {
	if p == nil || p.path == "" {
		return nil
	}
	_, err := p.read()
	return err
}

// Run reads the file again whenever it changes, until ctx ends, and then returns nil. A file that can't be used is logged as an error once for each
// change, and wrong credentials as a warning with their number since the last. Without a file it only waits.
func (p *Policy) Run(ctx context.Context, log *slog.Logger) error {
	if p == nil || p.path == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	told, refused := "", p.refused.Load()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if n := p.refused.Load(); n != refused {
			last := p.last.Load()
			log.Warn("logins refused", "count", n-refused, "last_name", last.name, "last_from", last.from)
			refused = n
		}
		changed, err := p.read()
		switch {
		case err != nil && err.Error() != told:
			told = err.Error()
			log.Error("users file not read, the former users stay", "path", p.path, "err", err)
		case err == nil:
			told = ""
		}
		if changed {
			log.Info("users file read again", "path", p.path, "users", p.Users())
		}
	}
}

// read takes over the file if its content is another than before.
func (p *Policy) read() (changed bool, err error) {
	p.reload.Lock()
	defer p.reload.Unlock()
	raw, err := readFile(p.path)
	if err != nil {
		return false, err
	}
	digest := sha256.Sum256(raw)
	if p.users.Load() != nil && digest == p.digest {
		return false, nil
	}
	d, err := parse(raw)
	if err != nil {
		return false, fmt.Errorf("users file %s: %w", p.path, err)
	}
	p.users.Store(d)
	p.digest = digest
	return true, nil
}

// Wrap authenticates requests, puts the [Principal] into their context and hands them to h, which asks [Allow] or is wrapped in [Require]
// for what needs more than Read. /health, /livez and /readyz need no login, /metrics as the file says. Requests without a
// login are answered 401, those that a browser sends from another site to change something 403. A nil policy has no users; see the package.
func (p *Policy) Wrap(h http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if probe(r) || (r.URL.Path == "/metrics" && p.openMetrics()) {
			h.ServeHTTP(w, r)
			return
		}
		if p == nil && !ownName(r.Host) {
			refuse(w, r, fmt.Errorf("%w: a server without users that listens on its own machine alone answers to localhost and to addresses, not to %.100q: "+
				"start it with --access-file or --insecure-open", errHost, r.Host))
			return
		}
		if err := cross.Check(r); err != nil {
			refuse(w, r, fmt.Errorf("%w: the request comes from another site: %w", ErrForbidden, err))
			return
		}
		who, err := p.authenticate(r)
		if err != nil {
			p.note(r)
			refuse(w, r, err)
			return
		}
		h.ServeHTTP(w, r.WithContext(With(r.Context(), who)))
	})
}

// Again returns nil if a request that Wrap let in would be let in now, with a role that includes need: an answer that goes on for long asks it
// now and then, since users are taken away. Where too many log in at once, what was right before counts.
func (p *Policy) Again(r *http.Request, need Role) error {
	who, err := p.authenticate(r)
	if errors.Is(err, errBusy) {
		who, err = From(r.Context()), nil
	}
	if err != nil {
		return err
	}
	return Allow(With(r.Context(), who), need)
}

// note counts a login that failed; a request without credentials is none.
func (p *Policy) note(r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		return
	}
	name, _, _ := r.BasicAuth()
	p.last.Store(&refusal{name: name[:min(len(name), maxName)], from: r.RemoteAddr})
	p.refused.Add(1)
}

// probe reports whether the request asks for the state of the process, which says nothing that is secret and is asked for by what has no login.
func probe(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	switch r.URL.Path {
	case "/health", "/livez", "/readyz":
		return true
	}
	return false
}

// openMetrics reports whether the users file lets everybody read the metrics.
func (p *Policy) openMetrics() bool {
	return p != nil && p.path != "" && p.users.Load().openMetrics
}

// ownName reports whether a Host header names the own machine or an address. A name of the DNS may be a web page's that points at the loopback.
func ownName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	return name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") || net.ParseIP(name) != nil
}

// authenticate returns who sent the request. The errors are ErrUnauthenticated, which doesn't say what was wrong, and errBusy.
func (p *Policy) authenticate(r *http.Request) (Principal, error) {
	if p == nil || p.path == "" {
		return Principal{Name: Anonymous, Role: Admin}, nil
	}
	d := p.users.Load()
	if name, password, ok := r.BasicAuth(); ok {
		return p.basic(r, d, name, password)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		if u := d.byToken[sha256.Sum256([]byte(strings.TrimSpace(token)))]; u != nil { // the key is a hash: the time tells nothing of the token
			return u.principal(), nil
		}
	}
	return Principal{}, ErrUnauthenticated
}

func (p *Policy) basic(r *http.Request, d *directory, name, password string) (Principal, error) {
	u := d.byName[name]
	if u != nil && u.token != nil {
		sum := sha256.Sum256([]byte(password))
		if subtle.ConstantTimeCompare(sum[:], u.token[:]) == 1 {
			return u.principal(), nil
		}
	}
	var hash []byte
	if u != nil {
		hash = u.bcrypt
	}
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	ok, err := p.compare.matches(r.Context(), attempt{name: name, password: password, hash: hash, decoy: d.decoy, from: from})
	switch {
	case errors.Is(err, errBusy):
		return Principal{}, errBusy
	case err != nil || !ok:
		return Principal{}, ErrUnauthenticated
	}
	return u.principal(), nil
}

// TokenDigest returns what the users file holds of a token.
func TokenDigest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
