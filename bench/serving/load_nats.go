package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// silence ends a load over NATS: so long without any answer means that answers were lost.
const silence = 30 * time.Second

// loadNATS requests Subject with the records of Bodies and with Headers, Clients of them in flight on one connection, each sent on from the answer to the last, until For has
// passed or Requests are answered.
func loadNATS(ctx context.Context, t task) (any, error) {
	records, err := requestsOf(t.Bodies, func(body []byte) []byte { return body })
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(t.URL)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	inbox := nc.NewRespInbox()
	replies := make([]string, t.Clients)
	for k := range replies {
		replies[k] = inbox + "." + strconv.Itoa(k)
	}
	r := newRecorder(t, false)
	sent := make([]time.Time, t.Clients)
	msg := &nats.Msg{Subject: t.Subject, Header: header(t.Headers)} // copied as it is sent
	next, open := 0, 0
	done := make(chan struct{})
	send := func(k int) {
		if !r.more(t) {
			if open--; open == 0 {
				close(done)
			}
			return
		}
		next, sent[k] = (next+1)%len(records), time.Now()
		msg.Reply, msg.Data = replies[k], records[next]
		if err := nc.PublishMsg(msg); err != nil {
			r.fail(err)
		}
	}
	// The library calls this on one goroutine: what it touches needs no lock after the first round is sent below.
	started := make(chan struct{})
	sub, err := nc.Subscribe(inbox+".*", func(m *nats.Msg) {
		<-started
		k, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
		if err != nil || k >= t.Clients {
			r.fail(fmt.Errorf("answer on %s", m.Subject))
			return
		}
		if code := m.Header.Get("Nats-Service-Error-Code") + m.Header.Get("Status"); code != "" {
			r.fail(fmt.Errorf("answer %s: %.200s", code, m.Data))
		} else {
			r.answered(sent[k], 0)
		}
		send(k)
	})
	if err != nil {
		return nil, err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	open = t.Clients
	for k := range t.Clients {
		send(k)
	}
	close(started)
	for before := uint64(0); ; {
		select {
		case <-done:
			l := r.load()
			return l, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(silence):
		}
		in := nc.Stats().InMsgs
		if in == before {
			return nil, fmt.Errorf("no answer for %s, %d of %d open", silence, open, t.Clients)
		}
		before = in
	}
}
