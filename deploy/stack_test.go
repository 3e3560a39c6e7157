//go:build processes

package deploy

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// stack is the compose file as processes of this machine: each service with its command, settings and health check, at free ports and
// with its volumes in a temporary folder. versitygw stands in for MinIO.
type stack struct {
	t     *testing.T
	file  compose
	dir   string
	nodes []string // the NATS servers that run
	// addrs are where services listen, as "service:port of the container".
	addrs map[string]string
	// nats says that artifacts are kept in NATS instead of S3.
	nats bool
	logs map[string]*logBuffer
}

// logBuffer keeps what a process says.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newStack(t *testing.T, nodes ...string) *stack {
	t.Helper()
	c, _ := load(t, map[string]string{"CHURN_STACK_ROWS": "3000", "CHURN_STORE_BYTES": "1073741824"})
	return &stack{t: t, file: c, dir: t.TempDir(), nodes: nodes, addrs: map[string]string{}, logs: map[string]*logBuffer{}}
}

// addr returns an address of this machine for a service's port. It is bound by the service a moment later, so it is taken from below the range that
// systems hand out by themselves.
func (s *stack) addr(service, port string) string {
	s.t.Helper()
	key := service + ":" + port
	for tries := 0; s.addrs[key] == ""; tries++ {
		require.Less(s.t, tries, 100, "no free port")
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err != nil {
			continue // taken
		}
		s.addrs[key] = ln.Addr().String()
		require.NoError(s.t, ln.Close())
	}
	return s.addrs[key]
}

// url is where clients connect, without a login.
func (s *stack) url() string {
	var all []string
	for _, n := range s.nodes {
		all = append(all, "nats://"+s.addr(n, "4222"))
	}
	return strings.Join(all, ",")
}

// volume is the folder that stands for a volume.
func (s *stack) volume(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.dir, name)
	require.NoError(s.t, os.MkdirAll(dir, 0o755))
	return dir
}

// tool finds a program in .tools or $PATH.
func tool(t *testing.T, name string) string {
	t.Helper()
	if p, err := filepath.Abs(filepath.Join(root, ".tools", name)); err == nil {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	p, err := exec.LookPath(name)
	require.NoError(t, err, "run make tools")
	return p
}

// start runs a process until the test ends; it is killed then, unless it ended before.
func (s *stack) start(name string, env map[string]string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = s.dir
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	log := &logBuffer{}
	s.logs[name] = log
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // what it returns is not what is tested
		kill.Stop()
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", name, tail(log.String()))
		}
	})
}

func tail(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// eventually polls; a whole turn on a busy machine takes a while. It fails at once when a service was denied something.
func (s *stack) eventually(what string, cond func() bool) {
	s.t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		s.nobodyWasDenied()
		select {
		case <-deadline:
			require.FailNow(s.t, "not in time: "+what)
		case <-tick.C:
		}
	}
}

// nobodyWasDenied reads what the services say: the permissions are enough for all that they do.
func (s *stack) nobodyWasDenied() {
	s.t.Helper()
	for name, log := range s.logs {
		if s.file.Services[name].ours() {
			for line := range strings.Lines(log.String()) {
				require.NotContains(s.t, strings.ToLower(line), "permission", name)
			}
		}
	}
}

// up starts everything, each service after what it depends on.
func (s *stack) up() {
	s.t.Helper()
	for _, n := range s.nodes {
		s.startNATS(n)
	}
	for _, n := range s.nodes {
		s.eventually(n+" is healthy", func() bool { return answers("http://" + s.addr(n, "8222") + "/healthz") })
	}
	if !s.nats {
		s.startS3()
	}
	started := map[string]bool{"nats-1": true, "nats-2": true, "nats-3": true, "minio": true}
	for len(started) < len(s.file.Services) {
		before := len(started)
		for name, sv := range s.file.Services {
			ready := !started[name]
			for on := range sv.DependsOn {
				ready = ready && started[on]
			}
			if ready {
				s.startService(name, sv)
				started[name] = true
			}
		}
		require.Greater(s.t, len(started), before, "services wait for each other")
	}
	for name, sv := range s.file.Services {
		if sv.ours() && sv.Restart != "no" {
			s.awaitHealth(name, sv)
		}
	}
}

func answers(url string) bool {
	resp, err := http.Get(url)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// startNATS runs a server with the configuration that the compose file gives it; addresses and folders alone are other ones.
func (s *stack) startNATS(name string) {
	s.t.Helper()
	sv := s.file.Services[name]
	conf, err := filepath.Abs("nats")
	require.NoError(s.t, err)
	args := []string{tool(s.t, "nats-server")}
	for _, a := range sv.Command {
		if a == "/data" {
			a = s.volume(name)
		}
		args = append(args, strings.Replace(a, "/etc/churn", conf, 1))
	}
	if len(s.nodes) == 1 {
		i := slices.Index(args, filepath.Join(conf, "cluster.conf"))
		require.Positive(s.t, i)
		args[i] = filepath.Join(conf, "server.conf")
	}
	port := func(p string) string {
		_, port, err := net.SplitHostPort(s.addr(name, p))
		require.NoError(s.t, err)
		return port
	}
	args = append(args, "--addr", "127.0.0.1", "--port", port("4222"), "--http_port", port("8222"))
	env := maps.Clone(sv.Environment)
	if len(s.nodes) > 1 {
		login := "nats://route:" + s.password("route") + "@" // a flag clears the configuration's login
		args = append(args, "--cluster", login+s.addr(name, "6222"))
		for i, n := range s.nodes {
			route := fmt.Sprintf("ROUTE_%d", i+1)
			require.Contains(s.t, env[route], n+":6222")
			env[route] = strings.Replace(env[route], n+":6222", s.addr(n, "6222"), 1)
		}
	}
	s.start(name, env, args...)
}

func (s *stack) startS3() {
	s.t.Helper()
	env := s.file.Services["minio"].Environment
	s.start("minio", map[string]string{"ROOT_ACCESS_KEY": env["MINIO_ROOT_USER"], "ROOT_SECRET_KEY": env["MINIO_ROOT_PASSWORD"]},
		tool(s.t, "versitygw"), "--port", s.addr("minio", "9000"), "posix", s.volume("minio"))
	s.eventually("S3 answers", func() bool {
		c, err := net.Dial("tcp", s.addr("minio", "9000"))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// local turns a setting or an argument of a container into one for this machine.
func (s *stack) local(name string, sv service, value string) string {
	s.t.Helper()
	value = strings.ReplaceAll(value, "nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222", s.url())
	value = strings.ReplaceAll(value, "minio:9000", s.addr("minio", "9000"))
	if strings.HasPrefix(value, ":") {
		value = s.addr(name, value[1:])
	}
	if rest, ok := strings.CutPrefix(value, "http://127.0.0.1:"); ok {
		port, path, _ := strings.Cut(rest, "/")
		value = "http://" + s.addr(name, port) + "/" + path
	}
	for _, m := range sv.Mounts {
		parts := strings.Split(m, ":")
		if value == parts[1] || strings.HasPrefix(value, parts[1]+"/") {
			value = filepath.Join(s.volume(parts[0]), strings.TrimPrefix(value, parts[1]))
		}
	}
	if s.nats && strings.HasPrefix(value, "s3://") {
		value = "nats"
	}
	return value
}

// startService runs one of ours, to its end if it is a one-shot, and else until it is healthy where others wait for that.
func (s *stack) startService(name string, sv service) {
	s.t.Helper()
	env := map[string]string{}
	for k, v := range sv.Environment {
		env[k] = s.local(name, sv, v)
	}
	var args []string
	for _, a := range sv.Command {
		args = append(args, s.local(name, sv, a))
	}
	args = sv.command(s.t, args...)
	if sv.Restart == "no" {
		run(s.t, args...)
		return
	}
	s.start(name, env, args...)
	for _, other := range s.file.Services {
		if other.DependsOn[name].Condition == "service_healthy" {
			s.awaitHealth(name, sv)
			return
		}
	}
}

// awaitHealth runs the service's own health check until it is content.
func (s *stack) awaitHealth(name string, sv service) {
	s.t.Helper()
	var args []string
	for _, a := range sv.Health.Test[2:] {
		args = append(args, s.local(name, sv, a))
	}
	args = sv.command(s.t, args...)
	s.eventually(name+" is healthy", func() bool { return exec.Command(args[0], args[1:]...).Run() == nil })
}

// password returns the password of a user as the servers have it.
func (s *stack) password(user string) string {
	return strings.Trim(s.file.Services["nats-1"].Environment[strings.ToUpper(user)+"_PASSWORD"], "'")
}

// connect logs in as one of the users. Labels, downstream and app have an inbox of their own.
func (s *stack) connect(user string) *nats.Conn {
	s.t.Helper()
	opts := []nats.Option{
		nats.UserInfo(user, s.password(user)), nats.Name("test as " + user), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // read by LastError
	}
	if slices.Contains([]string{"labels", "downstream", "app"}, user) {
		opts = append(opts, nats.CustomInboxPrefix("_INBOX_"+user))
	}
	nc, err := nats.Connect(s.url(), opts...)
	require.NoError(s.t, err)
	s.t.Cleanup(nc.Close)
	return nc
}

// operate runs a command of the operator.
func (s *stack) operate(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	args = s.file.Services["trainer"].command(s.t, args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = []string{"CHURN_NATS=" + s.url(), "CHURN_NATS_USER=operator", "CHURN_NATS_PASSWORD=" + s.password("operator")}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(s.t, err, "%v: %s%s", args, out, errs.String())
	require.NotContains(s.t, errs.String(), "permission", fmt.Sprint(args))
	return string(out)
}
