package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/bench/measure"
)

// install is how to get what the Python servers need on Debian and Ubuntu.
const install = "apt-get install -y python3-fastapi python3-uvicorn python3-uvloop python3-httptools python3-sklearn python3-pandas"

// pythonSection puts POST /predict beside the servers people write in Python, with a model of as many trees.
func pythonSection(ctx context.Context, b *bench) (found chapter, err error) {
	if !b.hasPython(ctx) {
		return chapter{detail: "Left out, see above.\n"}, nil
	}
	w, err := b.theWorld(ctx)
	if err != nil {
		return chapter{}, err
	}
	ours, err := b.serve(ctx, w, true)
	if err != nil {
		return chapter{}, err
	}
	defer func() { err = errors.Join(err, ours.stop()) }()
	if err := b.fitPython(ctx); err != nil {
		return chapter{}, err
	}
	var dropped float64
	sides := []side{{name: "ours, prediction log on", pids: []int{ours.pid()}, bus: []int{w.server.pid()}, hit: b.hits(ours.url + "/predict"), after: func(ctx context.Context) error {
		_, dropped, err = ours.drain(ctx)
		return err
	}}}
	cores := runtime.NumCPU()
	for _, s := range []struct {
		path    string
		workers int
	}{{"/predict", 1}, {"/predict", cores}, {"/leaner", cores}} {
		p, url, err := b.uvicorn(ctx, s.workers)
		if err != nil {
			return chapter{}, err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		sides = append(sides, side{name: fmt.Sprintf("Python %s, %d workers", s.path, s.workers), pids: []int{p.pid()}, hit: b.hits(url + s.path)})
	}
	turns, err := b.contest(ctx, sides)
	if err != nil {
		return chapter{}, err
	}
	predict := 1 // whichever is better for them
	if of(turns[2], perSecond).Median > of(turns[1], perSecond).Median {
		predict = 2
	}
	cpu := func(v float64) string { return fmt.Sprintf("%.1f µs", v) }
	what := fmt.Sprintf("HTTP /predict, %d connections, prediction log on: ", b.config.Connections)
	for _, p := range []struct {
		at    int
		least float64
	}{{predict, 100}, {3, 5}} {
		found.findings = append(found.findings,
			versus(what+"requests a second", sides[p.at].name, turns[0], turns[p.at], perSecond, measure.Thousands[float64], goal{text: "at least " + strconv.Itoa(int(p.least)), least: p.least}),
			versus(what+"CPU of the server a request", sides[p.at].name, turns[0], turns[p.at], cpuEach, cpu, goal{}))
	}
	found.detail = fmt.Sprintf("FastAPI on uvicorn with uvloop and httptools, no access log, a gradient boosting of scikit-learn with %d trees of depth %d. /predict is what people write (pandas, pydantic), /leaner the best that was found. Dropped predictions of ours: %s.\n\n",
		trees, depth, measure.Thousands(dropped)) + contestTable(sides, turns)
	return found, nil
}

// hasPython reports whether the peers can run, and remarks why not.
func (b *bench) hasPython(ctx context.Context) bool {
	if _, err := os.Stat(filepath.Join(b.config.Peers, "serve.py")); err != nil {
		b.Remark("The Python servers are not there (%s): their section is left out. PEERS=DIR says where they are.", b.config.Peers)
		return false
	}
	out, err := exec.CommandContext(ctx, b.config.Python, "-c", "import fastapi, uvicorn, uvloop, httptools, sklearn, pandas").CombinedOutput()
	if err != nil {
		b.Remark("The Python servers can't run (%v: %s): their section is left out. On Debian or Ubuntu: `%s`.", err, lastLine(string(out)), install)
		return false
	}
	return true
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// pythonDir is where the Python servers find what serve_fit.py writes.
func (b *bench) pythonDir() string { return filepath.Join(b.dir, "python") }

// fitPython fits the peers' model on the file that ours were trained on.
func (b *bench) fitPython(ctx context.Context) error {
	data, err := b.telco()
	if err != nil {
		return err
	}
	peers, err := filepath.Abs(b.config.Peers)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.pythonDir(), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.config.Python, filepath.Join(peers, "serve_fit.py"))
	cmd.Dir, cmd.Env = b.pythonDir(), append(os.Environ(), "TELCO_CSV="+data, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("serve_fit.py: %w: %s", err, lastLine(string(out)))
	}
	b.spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return nil
}

// uvicorn starts the Python servers and waits until they answer.
func (b *bench) uvicorn(ctx context.Context, workers int) (*process, string, error) {
	peers, err := filepath.Abs(b.config.Peers)
	if err != nil {
		return nil, "", err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // to learn a free port
	if err != nil {
		return nil, "", err
	}
	addr := ln.Addr().(*net.TCPAddr)
	if err := ln.Close(); err != nil {
		return nil, "", err
	}
	p := prepare(ctx, b.pythonDir(), nil, b.config.Python, "-m", "uvicorn", "--app-dir", peers, "serve:app", "--host", "127.0.0.1",
		"--port", strconv.Itoa(addr.Port), "--workers", strconv.Itoa(workers), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
	p.cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if err := p.begin(); err != nil {
		return nil, "", err
	}
	url := "http://" + addr.String()
	err = until(ctx, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ping", nil)
		if err != nil {
			return err
		}
		c := http.Client{Timeout: time.Second}
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("uvicorn: %w: %s", err, p.tail.last()), p.stop())
	}
	return p, url, nil
}
