package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"telco-churn-mlops/bench/measure"
)

// load is what a number of clients saw, each of whom asks again once it has its answer.
type load struct {
	Requests  int           `json:"requests"`
	Wall      time.Duration `json:"wall_ns"`
	PerSecond float64       `json:"per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	Max       time.Duration `json:"max_ns"`
	// Failed had no answer or another than 200; Hanging took longer than hangs.
	Failed  int `json:"failed"`
	Hanging int `json:"hanging"`
	// First is what went wrong first.
	First string `json:"first,omitempty"`
	// CPU is the processor time of the load generator itself.
	CPU time.Duration `json:"cpu_ns"`
	// Slots are the requests by when they were answered.
	Slots []slot `json:"slots,omitempty"`
	// Swaps are the moments at which an answer was the first of a newer version, from the second version on.
	Swaps []time.Duration `json:"swaps_ns,omitempty"`
}

// hangs is when a request counts as hanging.
const hangs = time.Second

// slotWidth is the span of time that a slot is about, and slotMost the number of them.
const (
	slotWidth = 100 * time.Millisecond
	slotMost  = 36_000
)

// slot holds the times of the requests that were answered in one span, bucket by bucket.
type slot map[int]uint64

// recorder takes down what all clients see. It is safe for concurrent use.
type recorder struct {
	began  time.Time
	due    atomic.Int64 // requests that may still be sent
	all    histogram
	most   atomic.Int64
	failed atomic.Int64
	first  atomic.Pointer[string]

	version atomic.Int64
	slotted bool
	mu      sync.Mutex
	slots   []*histogram
	swaps   []time.Duration
}

func newRecorder(t task, slots bool) *recorder {
	r := &recorder{began: time.Now(), slotted: slots}
	r.due.Store(int64(t.Requests))
	if t.Requests == 0 {
		r.due.Store(1 << 62)
	}
	return r
}

// more reports whether one more request is to be sent.
func (r *recorder) more(t task) bool {
	return r.due.Add(-1) >= 0 && (t.For == 0 || time.Since(r.began) < t.For)
}

func (r *recorder) fail(err error) {
	r.failed.Add(1)
	text := err.Error()
	r.first.CompareAndSwap(nil, &text)
}

// answered takes down an answer that was awaited since sent, by a version, 0 for an unknown one.
func (r *recorder) answered(sent time.Time, version int64) {
	now := time.Now()
	took := now.Sub(sent)
	r.all.add(took)
	for most := r.most.Load(); int64(took) > most && !r.most.CompareAndSwap(most, int64(took)); most = r.most.Load() {
	}
	if !r.slotted {
		return
	}
	at := now.Sub(r.began)
	if seen := r.version.Load(); version > seen && r.version.CompareAndSwap(seen, version) && seen > 0 {
		r.mu.Lock()
		r.swaps = append(r.swaps, at)
		r.mu.Unlock()
	}
	r.slot(int(at / slotWidth)).add(took)
}

// slot returns the histogram of a span.
func (r *recorder) slot(i int) *histogram {
	i = min(i, slotMost)
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.slots) <= i {
		r.slots = append(r.slots, &histogram{})
	}
	return r.slots[i]
}

// load returns what was taken down.
func (r *recorder) load() load {
	var all counts
	all.plus(&r.all)
	l := load{Requests: int(all.total()), Wall: time.Since(r.began), P50: all.quantile(0.5), P99: all.quantile(0.99), Max: time.Duration(r.most.Load()),
		Failed: int(r.failed.Load()), Hanging: int(all.over(hangs)), CPU: measure.CPU(os.Getpid()), Swaps: r.swaps}
	l.PerSecond = float64(l.Requests) / l.Wall.Seconds()
	if first := r.first.Load(); first != nil {
		l.First = *first
	}
	for _, h := range r.slots {
		s := slot{}
		for i := range h.buckets {
			if n := h.buckets[i].Load(); n > 0 {
				s[i] = uint64(n)
			}
		}
		l.Slots = append(l.Slots, s)
	}
	return l
}

// loadHTTP posts the records of Bodies to URL over Clients connections, for For or until Requests are answered. With Rounds 1 it keeps the slots.
func loadHTTP(ctx context.Context, t task) (any, error) {
	target, err := url.Parse(t.URL)
	if err != nil {
		return nil, err
	}
	requests, err := requestsOf(t.Bodies, func(body []byte) []byte {
		head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", target.RequestURI(), target.Host, len(body))
		return append([]byte(head), body...)
	})
	if err != nil {
		return nil, err
	}
	r := newRecorder(t, t.Rounds > 0)
	var clients sync.WaitGroup
	for k := range t.Clients {
		clients.Go(func() {
			for ctx.Err() == nil && time.Since(r.began) < maxLoad {
				if err := converse(ctx, t, r, target.Host, requests, k); err == nil {
					return
				} else if r.fail(err); r.failed.Load() > 10_000 {
					return
				}
			}
		})
	}
	clients.Wait()
	return r.load(), context.Cause(ctx)
}

// maxLoad ends a load whatever happens.
const maxLoad = time.Hour

// requestsOf reads a file of records and makes a request of each.
func requestsOf(path string, request func(body []byte) []byte) ([][]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for line := range bytes.Lines(text) {
		all = append(all, request(bytes.TrimRight(line, "\n")))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no records", path)
	}
	return all, nil
}

// errClosed ends a conversation that the server closed between two requests.
var errClosed = errors.New("connection closed by the server")

// converse sends requests over one connection, one after another, until no more are due.
func converse(ctx context.Context, t task, r *recorder, host string, requests [][]byte, next int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 4096)
	for r.more(t) {
		next = (next + 1) % len(requests)
		sent := time.Now()
		if err := conn.SetDeadline(sent.Add(30 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write(requests[next]); err != nil {
			return err
		}
		version, err := readAnswer(in)
		if err != nil {
			return err
		}
		r.answered(sent, version)
	}
	return nil
}

// readAnswer reads an answer of HTTP/1.1 with a length, which must be 200, and returns its Model-Version, 0 for none.
func readAnswer(in *bufio.Reader) (version int64, err error) {
	line, err := in.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return 0, errClosed
	}
	if err != nil {
		return 0, err
	}
	if status := string(line); !strings.HasPrefix(status, "HTTP/1.1 200") {
		return 0, fmt.Errorf("answer %q", strings.TrimSpace(status))
	}
	length := -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		case bytes.EqualFold(name, []byte("Model-Version")):
			version, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		}
		if err != nil {
			return 0, err
		}
	}
	if length < 0 {
		return 0, errors.New("an answer without a length")
	}
	_, err = in.Discard(length)
	return version, err
}
