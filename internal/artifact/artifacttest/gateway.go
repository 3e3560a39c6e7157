package artifacttest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Gateway is a running S3 server.
type Gateway struct {
	// Addr is host:port, without TLS.
	Addr                 string
	AccessKey, SecretKey string
	// Kill ends the server at once. It may be called any number of times.
	Kill func()
}

// StartGateway runs versitygw on a free port of the loopback until the test ends. A port that somebody else took in between is tried
// again. It is for tests behind the tag s3: it fails where the program is not installed.
func StartGateway(t testing.TB) Gateway {
	t.Helper()
	for range 5 {
		addr := freeAddr(t)
		g := Gateway{Addr: addr, AccessKey: "testaccess", SecretKey: "testsecret"}
		cmd := exec.Command(gateway(t), "--port", addr, "posix", t.TempDir())
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+g.AccessKey, "ROOT_SECRET_KEY="+g.SecretKey)
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		require.NoError(t, cmd.Start())
		exited := make(chan struct{})
		go func() {
			_ = cmd.Wait() // killed at the end, so never nil
			close(exited)
		}()
		g.Kill = sync.OnceFunc(func() {
			_ = cmd.Process.Kill() // it may have ended
			<-exited
		})
		t.Cleanup(g.Kill)
		if answers(addr, exited) {
			return g
		}
		g.Kill()
		t.Logf("versitygw on %s did not answer: %s", addr, output.String())
	}
	require.FailNow(t, "versitygw did not start")
	return Gateway{}
}

// gateway is where versitygw is: in the repository's .tools, named by the environment, or in $PATH.
func gateway(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		p := filepath.Join(dir, ".tools", "versitygw")
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	if p := os.Getenv("CHURN_TEST_VERSITYGW"); p != "" {
		return p
	}
	p, err := exec.LookPath("versitygw")
	require.NoError(t, err, "no S3 server to test against: run make tools")
	return p
}

func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// answers polls until the server takes connections, has exited, or 20 s are over.
func answers(addr string, exited <-chan struct{}) bool {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-exited:
			return false
		case <-deadline:
			return false
		case <-tick.C:
			if c, err := net.Dial("tcp", addr); err == nil {
				_ = c.Close()
				return true
			}
		}
	}
}
