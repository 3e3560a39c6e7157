package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/collect"
)

func TestARegistryWithoutUsersStaysOnItsMachine(t *testing.T) {
	for addr, own := range map[string]bool{
		"127.0.0.1:5000": true, "[::1]:5000": true, "localhost:5000": true, ":5000": false, "0.0.0.0:5000": false, "[::]:5000": false, "192.0.2.1:5000": false,
	} {
		p, err := guard{}.policy(addr)
		require.Nil(t, p)
		if own {
			require.NoError(t, err, addr)
			continue
		}
		for _, flag := range []string{"--access-file", "--registry-addr", "--insecure-open"} {
			require.ErrorContains(t, err, flag, addr)
		}
		p, err = guard{InsecureOpen: true}.policy(addr)
		require.NoError(t, err)
		require.NotNil(t, p)
		require.Contains(t, guard{InsecureOpen: true}.about(addr), "OPEN")
	}
	_, err := guard{AccessFile: "not-there", InsecureOpen: true}.policy("127.0.0.1:5000")
	require.ErrorIs(t, err, os.ErrNotExist, "a file that is named counts")
	_, _, err = churn(t, "up", "--registry-addr", ":0", "--store-dir", t.TempDir())
	require.ErrorContains(t, err, "can be reached by other machines")
}

func TestUsersAdd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	out, _, err := churn(t, "users", "add", "ann", "--role", "admin", "--access-file", file)
	require.NoError(t, err)
	password := regexp.MustCompile(`once:\n(\S{20,})\n`).FindStringSubmatch(out)
	require.Len(t, password, 2, out)
	out, _, err = churn(t, "users", "add", "ci", "--role", "log", "--token", "--access-file", file, "--json")
	require.NoError(t, err)
	var made struct{ Name, Role, Token string }
	require.NoError(t, json.Unmarshal([]byte(out), &made))
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(raw), password[1])
	require.NotContains(t, string(raw), made.Token)
	require.Contains(t, string(raw), access.TokenDigest(made.Token))
	p, err := access.Load(file)
	require.NoError(t, err)
	require.Equal(t, 2, p.Users())
	_, _, err = churn(t, "users", "add", "ci", "--role", "read", "--access-file", file)
	require.ErrorContains(t, err, "taken")
	_, _, err = churn(t, "users", "add", "x", "--role", "root")
	require.Error(t, err)
	_, _, err = churn(t, "users", "add", "x", "--role", "read", "--token", "--password-stdin")
	require.ErrorContains(t, err, "one of them")

	var entry, notes bytes.Buffer
	require.NoError(t, command(t.Context(), "long enough\n", &entry, &notes, "users", "add", "bob", "--role", "read", "--password-stdin"))
	require.NoError(t, os.WriteFile(file, []byte("users:\n"+entry.String()), 0o600))
	_, err = access.Load(file)
	require.NoError(t, err, "an entry can be appended to a file")
	require.NotContains(t, entry.String()+notes.String(), "long enough")
	require.ErrorContains(t, command(t.Context(), "short\n", &entry, &notes, "users", "add", "bob", "--role", "read", "--password-stdin"), "want 8 to 72")
}

func TestAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"7d": 168 * time.Hour, "0.5d": 12 * time.Hour, "200h": 200 * time.Hour} {
		var a age
		require.NoError(t, a.UnmarshalText([]byte(text)))
		require.Equal(t, want, time.Duration(a))
	}
	for _, bad := range []string{"", "d", "-7d", "-1h", "NaNd", "1e9d", "week"} {
		require.Error(t, new(age).UnmarshalText([]byte(bad)), bad)
	}
}

// certify writes a certificate for 127.0.0.1 and its key, and returns a client that trusts it.
func certify(t *testing.T, certFile, keyFile string) *http.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// small starts the loop with a spec and data that train in a moment, and waits until it serves.
func small(t *testing.T, args ...string) *live {
	t.Helper()
	dir := t.TempDir()
	file, data := filepath.Join(dir, "telco.yaml"), filepath.Join(dir, "customers.csv")
	writeSpec(t, file, "debounce: 30s", "debounce: 50ms")
	_, _, err := churn(t, "generate", "--rows", "1500", "--output", data)
	require.NoError(t, err)
	l := up(t, append([]string{"--spec", file, "--data", data}, args...)...)
	l.wait("serving version 1")
	return l
}

func TestUsersTLSAndGarbage(t *testing.T) {
	dir := t.TempDir()
	users, cert, key := filepath.Join(dir, "users.yaml"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, access.AddUser(users, access.User{Name: "reader", Role: access.Read, TokenSHA256: access.TokenDigest("r")}))
	require.NoError(t, access.AddUser(users, access.User{Name: "logger", Role: access.Log, TokenSHA256: access.TokenDigest("l")}))
	client := certify(t, cert, key)
	l := small(t, "--access-file", users, "--registry-tls-cert", cert, "--registry-tls-key", key)
	found := regexp.MustCompile(`registry +(https://\S+)`).FindStringSubmatch(l.screen.String())
	require.Len(t, found, 2, l.screen)
	require.Contains(t, l.screen.String(), "users in ")
	ask := func(method, path, token, body string) (int, string) {
		req, err := http.NewRequest(method, found[1]+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := client.Do(req)
		require.NoError(t, err)
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(got)
	}
	const create = "/api/2.0/mlflow/experiments/create"
	for _, tc := range []struct {
		method, path, token, body string
		code                      int
	}{
		{"GET", "/readyz", "", "", 200},
		{"GET", "/", "", "", 401},
		{"GET", "/", "r", "", 200},
		{"GET", "/metrics", "", "", 401},
		{"POST", create, "", `{"name":"x"}`, 401},
		{"POST", create, "r", `{"name":"x"}`, 403},
		{"POST", create, "l", `{"name":"x"}`, 200},
		{"POST", "/api/2.0/mlflow/registered-models/create", "l", `{"name":"x"}`, 403},
	} {
		code, body := ask(tc.method, tc.path, tc.token, tc.body)
		require.Equal(t, tc.code, code, "%s %s as %q: %s", tc.method, tc.path, tc.token, body)
	}

	out, _, err := churn(t, "gc", "--dry-run", "--json", "--nats", l.nats)
	require.NoError(t, err)
	var report collect.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.True(t, report.DryRun)
	require.Empty(t, report.Garbage)
	require.Positive(t, report.Stored.Objects)
	require.Equal(t, report.Stored, report.Kept[collect.KeptVersion])
	out, _, err = churn(t, "gc", "--nats", l.nats)
	require.NoError(t, err)
	require.Contains(t, squeezed(out), "removed 0 objects")
	_, _, err = churn(t, "gc", "--older-than", "6d", "--nats", l.nats)
	require.ErrorContains(t, err, "--older-than is 6d, and must be at least 7d: what is younger is never taken")

	out, _, err = churn(t, "artifacts", "verify", "--json", "--nats", l.nats)
	require.NoError(t, err)
	var v verified
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, report.Stored.Objects, v.Objects)
	require.Equal(t, []artifact.Digest{}, v.Missing)
	_, _, err = churn(t, "artifacts", "move", "--from", "nats", "--to", "nats", "--nats", l.nats)
	require.ErrorContains(t, err, "are the same")
}
