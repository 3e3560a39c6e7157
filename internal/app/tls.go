package app

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// certificateEvery is the shortest time between two looks at the files.
const certificateEvery = time.Second

// TLSFiles are the PEM files of a server's certificate chain and key. The zero value means without TLS.
type TLSFiles struct {
	Cert, Key string
}

// Enabled reports whether files are given.
func (f TLSFiles) Enabled() bool { return f.Cert != "" || f.Key != "" }

// Listen returns ln with TLS 1.2 or later over it, HTTP/2 included, or ln itself for the zero value. The files are read at once, and again by a
// handshake when they have changed: connections that are open stay on the former certificate. Files that can't be used then are
// logged as an error and the former certificate stays. ln is not closed on an error.
func (f TLSFiles) Listen(ln net.Listener, log *slog.Logger) (net.Listener, error) {
	if !f.Enabled() {
		return ln, nil
	}
	if f.Cert == "" || f.Key == "" {
		return nil, errors.New("tls: certificate and key are required together")
	}
	c := &certificate{files: f, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current(), nil
		},
	}), nil
}

// certificate is what the files held when they could last be used.
type certificate struct {
	files TLSFiles
	log   *slog.Logger

	mu     sync.Mutex
	cert   *tls.Certificate
	sum    [sha256.Size]byte // of the files' content, or of the content that could not be used
	looked time.Time
}

// current looks at the files if it has not for a while.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= certificateEvery {
		if err := c.load(); err != nil {
			c.log.Error("certificate not read, the former one stays", "cert", c.files.Cert, "err", err)
		}
	}
	return c.cert
}

// load takes over the files if their content is another than before. The same useless content is an error once.
func (c *certificate) load() error {
	c.looked = time.Now()
	cert, err := os.ReadFile(c.files.Cert)
	if err != nil {
		return fmt.Errorf("tls: read certificate: %w", err)
	}
	key, err := os.ReadFile(c.files.Key)
	if err != nil {
		return fmt.Errorf("tls: read key: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d ", len(cert))
	h.Write(cert)
	h.Write(key)
	sum := [sha256.Size]byte(h.Sum(nil))
	if sum == c.sum {
		return nil
	}
	c.sum = sum
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("tls: certificate %s with key %s: %w", c.files.Cert, c.files.Key, err)
	}
	if c.cert != nil {
		c.log.Info("certificate read again", "cert", c.files.Cert)
	}
	c.cert = &pair
	return nil
}
