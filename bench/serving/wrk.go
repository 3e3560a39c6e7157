package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// script is what wrk runs: the records of customers in turn, and one line of JSON at the end.
const script = `-- The records of bodies.jsonl, one after another; times in microseconds.
local requests, i = {}, 0
init = function(args)
  for line in io.lines("` + bodiesFile + `") do
    requests[#requests + 1] = wrk.format("POST", nil, {["Content-Type"] = "application/json"}, line)
  end
end
request = function()
  i = i % #requests + 1
  return requests[i]
end
done = function(summary, latency, _)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"us":%d,"p50":%d,"p99":%d,"max":%d,"socket":%d,"timeout":%d,"status":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write, e.timeout, e.status))
end
`

// usesWrk reports whether load over HTTP is made by wrk, which counts whole seconds.
func (b *bench) usesWrk() bool { return b.wrk != "" && b.config.Round >= time.Second }

// generator names what makes load over HTTP: wrk, or our own where there is none.
func (b *bench) generator() string {
	if b.usesWrk() {
		return "wrk -t1"
	}
	return "our own generator"
}

// findWrk looks for wrk and writes its script.
func (b *bench) findWrk() error {
	path, err := exec.LookPath("wrk")
	if err != nil {
		b.Remark("wrk is not installed: load over HTTP is made by a generator of our own, which takes more of the processors. On Debian or Ubuntu: `apt-get install -y wrk`.")
		return nil
	}
	b.wrk = path
	return os.WriteFile(filepath.Join(b.dir, scriptFile), []byte(script), 0o600)
}

// hit puts a server under load over the configured number of connections for a round.
func (b *bench) hit(ctx context.Context, url string) (load, error) {
	if b.usesWrk() {
		return b.hitWrk(ctx, url)
	}
	var l load
	err := b.ask(ctx, task{Task: "load-http", URL: url, Bodies: bodiesFile, Clients: b.config.Connections, For: b.config.Round}, &l)
	b.spent += l.CPU
	return l, err
}

// hitWrk is hit by wrk.
func (b *bench) hitWrk(ctx context.Context, url string) (load, error) {
	seconds := int(b.config.Round.Round(time.Second) / time.Second)
	cmd := exec.CommandContext(ctx, b.wrk, "-t1", "-c"+strconv.Itoa(b.config.Connections), fmt.Sprintf("-d%ds", seconds), "--timeout", "30s", "-s", scriptFile, url)
	cmd.Dir = b.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %.300s", err, out)
	}
	b.spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	_, line, ok := strings.Cut(string(out), "RESULT ")
	if !ok {
		return load{}, fmt.Errorf("wrk: no result in %.300q", out)
	}
	var got struct {
		Requests          int
		US, P50, P99, Max int64
		Socket, Timeout   int
		Status            int
	}
	if err := json.NewDecoder(strings.NewReader(line)).Decode(&got); err != nil {
		return load{}, fmt.Errorf("wrk: %w in %.300q", err, line)
	}
	l := load{Requests: got.Requests, Wall: time.Duration(got.US) * time.Microsecond, P50: time.Duration(got.P50) * time.Microsecond,
		P99: time.Duration(got.P99) * time.Microsecond, Max: time.Duration(got.Max) * time.Microsecond, Failed: got.Socket + got.Timeout + got.Status,
		CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	l.PerSecond = float64(l.Requests) / l.Wall.Seconds()
	if l.Failed > 0 {
		l.First = fmt.Sprintf("%d socket errors, %d timeouts, %d answers other than 200", got.Socket, got.Timeout, got.Status)
	}
	return l, nil
}
