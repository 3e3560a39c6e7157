package bustest

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy stands between clients and a server and can lose what the server says, as a network does: the request arrives, the answer does not.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	swallow bool
	closed  bool
	lose    []byte
	each    int
	seen    int
	lost    int
	wg      sync.WaitGroup
}

// StartProxy starts a proxy before the server at a URL such as "nats://127.0.0.1:4222"; it ends with the test.
func StartProxy(t testing.TB, serverURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{listener: l, target: u.Host, conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// URL returns the address for clients.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Swallow loses everything that the server says from now on, on connections that stand, until Cut.
func (p *Proxy) Swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallow = true
}

// Cut closes all connections. New ones work.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.swallow = false
}

// LoseEach has each n-th piece of what the server says that holds a text lost, and the connection with it: what was asked for is done, and
// nobody is told.
func (p *Proxy) LoseEach(n int, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.each, p.lose = n, []byte(text)
}

// Lost is how often LoseEach lost something.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// loses reports whether a piece of what the server says is lost together with its connection.
func (p *Proxy) loses(piece []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.each == 0 || !bytes.Contains(piece, p.lose) {
		return false
	}
	if p.seen++; p.seen%p.each != 0 {
		return false
	}
	p.lost++
	return true
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.add(client, server) {
			return
		}
		p.wg.Go(func() { p.pipe(server, client, false) })
		p.wg.Go(func() { p.pipe(client, server, true) })
	}
}

// add keeps both ends for Cut, or closes them if the proxy has ended.
func (p *Proxy) add(ends ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range ends {
		if p.closed {
			_ = c.Close()
			continue
		}
		p.conns[c] = struct{}{}
	}
	return !p.closed
}

// pipe copies from src to dst until either ends; what a server says may be lost on the way.
func (p *Proxy) pipe(dst, src net.Conn, fromServer bool) {
	defer func() {
		_, _ = dst.Close(), src.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, dst)
		delete(p.conns, src)
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		p.mu.Lock()
		lose := fromServer && p.swallow
		p.mu.Unlock()
		if fromServer && p.loses(buf[:n]) {
			return
		}
		if n > 0 && !lose {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
