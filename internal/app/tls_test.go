package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// writePair writes a certificate for 127.0.0.1 that signs itself, and its key, and returns a pool that trusts it.
func writePair(t *testing.T, f TLSFiles, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	f := TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	first := writePair(t, f, "first")
	logged := &lines{}
	plain, err := Listen("127.0.0.1:0", "")
	require.NoError(t, err)
	ln, err := f.Listen(plain, slog.New(slog.NewTextHandler(logged, nil)))
	require.NoError(t, err)
	srv := NewServer(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) }), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-done)
	}()

	get := func(pool *x509.CertPool, most uint16) (string, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MaxVersion: most}, ForceAttemptHTTP2: true, DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		answer, err := (&http.Client{Transport: transport}).Get("https://" + srv.Addr())
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		return answer.Proto, nil
	}
	proto, err := get(first, 0)
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", proto)
	_, err = get(first, tls.VersionTLS12)
	require.NoError(t, err)
	_, err = get(first, tls.VersionTLS11)
	require.Error(t, err, "older than TLS 1.2")

	second := writePair(t, f, "second")
	require.Eventually(t, func() bool { _, err := get(second, 0); return err == nil }, 10*time.Second, 50*time.Millisecond, "the new certificate")
	_, err = get(first, 0)
	require.Error(t, err)

	require.NoError(t, os.WriteFile(f.Key, []byte("half a k"), 0o600))
	require.Eventually(t, func() bool {
		_, err := get(second, 0)
		require.NoError(t, err, "the former certificate stays")
		return strings.Contains(logged.String(), "certificate not read")
	}, 10*time.Second, 50*time.Millisecond)
}

// lines is a log that a test reads while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestTLSRefuses(t *testing.T) {
	ln, err := Listen("127.0.0.1:0", "")
	require.NoError(t, err)
	defer ln.Close()
	log := slog.New(slog.DiscardHandler)
	same, err := TLSFiles{}.Listen(ln, log)
	require.NoError(t, err)
	require.Equal(t, ln, same)
	dir := t.TempDir()
	f := TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	_, err = TLSFiles{Cert: f.Cert}.Listen(ln, log)
	require.ErrorContains(t, err, "required together")
	_, err = f.Listen(ln, log)
	require.ErrorIs(t, err, os.ErrNotExist)
	writePair(t, f, "a")
	require.NoError(t, os.WriteFile(f.Key, []byte("no key"), 0o600))
	_, err = f.Listen(ln, log)
	require.ErrorContains(t, err, "key.pem")
}
