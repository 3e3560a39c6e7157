package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/dataset"
)

// shift changes a numeric column of a request: new = old*Factor + Add.
type shift struct {
	column string
	factor float64
	add    float64
}

// parseShift reads "Column=*1.3", "Column=+10" or "Column=-10". The last equals sign counts, as a name may have one.
func parseShift(s string) (shift, error) {
	at := strings.LastIndexByte(s, '=')
	if at < 1 || len(s)-at < 3 {
		return shift{}, fmt.Errorf("shift %q: want COLUMN=*FACTOR, COLUMN=+NUMBER or COLUMN=-NUMBER", s)
	}
	column, op := s[:at], s[at+1:]
	v, err := strconv.ParseFloat(op[1:], 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return shift{}, fmt.Errorf("shift %q: %q is not a finite number", s, op[1:])
	}
	switch op[0] {
	case '*':
		return shift{column, v, 0}, nil
	case '+':
		return shift{column, 1, v}, nil
	case '-':
		return shift{column, 1, -v}, nil
	}
	return shift{}, fmt.Errorf("shift %q: the change must begin with *, + or -", s)
}

// shifter applies shifts to rows of a schema.
type shifter struct {
	slots  []int
	shifts []shift
}

func newShifter(sch *dataset.Schema, shifts []shift) (*shifter, error) {
	f := &shifter{shifts: shifts}
	for _, s := range shifts {
		slot := -1
		for i, name := range sch.Numeric() {
			if name == s.column {
				slot = i
			}
		}
		if slot < 0 {
			return nil, fmt.Errorf("shift %s: the spec has no such numeric column (it has %s)", s.column, strings.Join(sch.Numeric(), ", "))
		}
		f.slots = append(f.slots, slot)
	}
	return f, nil
}

// apply changes the row in place. A missing value stays missing.
func (f *shifter) apply(row *dataset.Row) {
	for i, s := range f.shifts {
		row.Num[f.slots[i]] = float64(row.Num[f.slots[i]]*s.factor) + s.add
	}
}

// customer is one record to ask for, with its true outcome.
type customer struct {
	record  []byte
	outcome string // empty if unknown
}

// traffic sends records as requests at a steady rate and their labels later. It keeps count; safe for concurrent use.
type traffic struct {
	url        string
	model      string
	rate       float64
	labelAfter time.Duration
	client     *http.Client
	bus        *bus.Bus // nil sends no labels
	now        func() time.Time

	sent, answered, failed, labelled atomic.Int64
	mu                               sync.Mutex
	faults                           map[string]int
	pending                          sync.WaitGroup
	// onAnswer may be nil.
	onAnswer func(version int, at time.Time)
}

// idleConn is how long an unused connection is kept. It is well under what the server grants one that has not asked yet
// (app.ReadHeaderTimeout): the client dials ahead, and a request on a connection that the server is just giving up cannot be answered.
const idleConn = 5 * time.Second

func newTraffic(url, model string, rate float64, b *bus.Bus) *traffic {
	return &traffic{url: url, model: model, rate: rate, bus: b, now: time.Now, faults: map[string]int{},
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: idleConn}}}
}

// send asks for every record that next returns, until it returns false or ctx ends; requests in flight and labels that are due are waited
// for. It sends on schedule, however long answers take (an open loop), with at most 64 in flight.
func (t *traffic) send(ctx context.Context, next func() (customer, bool)) error {
	slots := make(chan struct{}, 64)
	start := t.now()
	for n := 0; ; n++ {
		due := start.Add(time.Duration(float64(n) / t.rate * float64(time.Second)))
		if wait := due.Sub(t.now()); wait > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
		c, ok := next()
		if !ok || ctx.Err() != nil {
			break
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue // and ends above
		}
		t.pending.Add(1)
		go func() {
			defer t.pending.Done()
			defer func() { <-slots }()
			t.one(ctx, c)
		}()
	}
	t.pending.Wait()
	return ctx.Err()
}

func (t *traffic) one(ctx context.Context, c customer) {
	// a request that was sent is waited for even when the story ends meanwhile
	ctx = context.WithoutCancel(ctx)
	t.sent.Add(1)
	id, version, err := t.ask(ctx, c.record)
	if err != nil {
		t.failed.Add(1)
		t.fault(err)
		return
	}
	t.answered.Add(1)
	if t.onAnswer != nil {
		t.onAnswer(version, t.now())
	}
	if t.bus == nil || c.outcome == "" {
		return
	}
	t.pending.Add(1)
	time.AfterFunc(t.labelAfter, func() {
		defer t.pending.Done()
		ev := events.New(t.model, t.bus.Source(), id, t.now(), &events.LabelObserved{PredictionID: id,
			Outcome: events.Outcome(c.outcome), ObservedAt: t.now().UTC()})
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		if _, err := t.bus.Publish(ctx, ev); err != nil {
			t.fault(fmt.Errorf("label: %w", err))
			return
		}
		t.labelled.Add(1)
	})
}

func (t *traffic) ask(ctx context.Context, record []byte) (id string, version int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(record))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("HTTP %d: %s", resp.StatusCode, bytes.TrimSpace(body))
	}
	var answer struct {
		PredictionID string `json:"prediction_id"`
		Version      int    `json:"version"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", 0, fmt.Errorf("answer: %w", err)
	}
	if answer.PredictionID == "" || answer.Version == 0 {
		return "", 0, errors.New("answer without prediction_id or version")
	}
	return answer.PredictionID, answer.Version, nil
}

func (t *traffic) fault(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if msg := err.Error(); len(t.faults) < 10 || t.faults[msg] > 0 {
		t.faults[msg]++
	}
}

// report returns the faults as lines, the most frequent first; an empty list if there were none.
func (t *traffic) report() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []string{}
	for _, msg := range slices.SortedFunc(maps.Keys(t.faults), func(a, b string) int {
		return cmp.Or(t.faults[b]-t.faults[a], strings.Compare(a, b))
	}) {
		out = append(out, fmt.Sprintf("%d x %s", t.faults[msg], msg))
	}
	return out
}
