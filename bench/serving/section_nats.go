package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
)

// natsSection puts predict.<model> beside a micro service that does nothing. Instances of one model share its requests, so each is up for its own
// turns alone; the echo is up all the time.
func natsSection(ctx context.Context, b *bench) (found chapter, err error) {
	w, err := b.theWorld(ctx)
	if err != nil {
		return chapter{}, err
	}
	subject := events.PredictPrefix + "." + spec.Telco().Name
	answer, err := b.answerOverNATS(ctx, w, subject)
	if err != nil {
		return chapter{}, err
	}
	headers := map[string]string{}
	for name := range answer.Header {
		headers[name] = answer.Header.Get(name)
	}
	bus := []int{w.server.pid()}
	var sides []side
	for _, e := range []struct {
		name, subject  string
		asked, headers map[string]string
	}{{"micro, answers", "echo.bare", nil, nil}, {"micro, answers with headers", "echo.headers", traced, headers}} {
		h, err := b.hire(ctx, task{Task: "echo", URL: w.server.ready.URL, Subject: e.subject, Bytes: len(answer.Data), Headers: e.headers})
		if err != nil {
			return chapter{}, err
		}
		defer func() { err = errors.Join(err, h.dismiss()) }()
		sides = append(sides, side{name: e.name, pids: []int{h.pid()}, bus: bus, hit: b.requests(w, e.subject, e.asked)})
	}
	var dropped float64
	var i *instance
	up := func(logging bool) func(context.Context) ([]int, func() error, error) {
		return func(ctx context.Context) ([]int, func() error, error) {
			var err error
			if i, err = b.upOverNATS(ctx, w, subject, logging); err != nil {
				return nil, nil, err
			}
			return []int{i.pid()}, i.stop, nil
		}
	}
	sides = append(sides, side{name: "ours, prediction log on", bus: bus, up: up(true), hit: b.requests(w, subject, nil), after: func(ctx context.Context) error {
		_, lost, err := i.drain(ctx)
		dropped += lost
		return err
	}})
	if b.quiet {
		sides = append(sides, side{name: "ours, prediction log off", bus: bus, up: up(false), hit: b.requests(w, subject, nil)},
			side{name: "ours, asked with headers, prediction log off", bus: bus, up: up(false), hit: b.requests(w, subject, traced)})
	}
	turns, err := b.contest(ctx, sides)
	if err != nil {
		return chapter{}, err
	}
	what := fmt.Sprintf("NATS predict.<model>, %d in flight", b.config.Connections)
	if b.quiet {
		want := goal{text: "at least 0.80", least: 0.80}
		found.findings = append(found.findings, versus(what+", prediction log off: requests a second", "micro echo of as many bytes", turns[3], turns[0], perSecond, measure.Thousands[float64], want),
			versus(what+", asked and answered with headers, log off: requests a second", "micro echo with the same headers", turns[4], turns[1], perSecond, measure.Thousands[float64], want))
	}
	found.findings = append(found.findings, versus(what+", prediction log on: requests a second", "micro echo of as many bytes", turns[2], turns[0], perSecond, measure.Thousands[float64], goal{}))
	found.detail = fmt.Sprintf("%d requests in flight on one connection of a client in a process of its own, rounds of %s. Our answers have %d bytes of body, and so have the echoes'; to a request with headers, which both are sent in their turn, they have %d bytes of headers, and so has one echo. Dropped predictions: %s.\n\n",
		b.config.Connections, b.config.Round, len(answer.Data), answer.Size()-len(answer.Subject)-len(answer.Reply)-len(answer.Data), measure.Thousands(dropped)) + contestTable(sides, turns)
	return found, nil
}

// traced are the headers of a request that wants some in the answer.
var traced = map[string]string{"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}

// header returns headers as the library has them, nil for none.
func header(of map[string]string) nats.Header {
	if len(of) == 0 {
		return nil
	}
	h := nats.Header{}
	for name, value := range of {
		h[name] = []string{value}
	}
	return h
}

// answerOverNATS returns an answer of ours to a request with headers.
func (b *bench) answerOverNATS(ctx context.Context, w *world, subject string) (answer *nats.Msg, err error) {
	i, err := b.serve(ctx, w, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.stop()) }()
	err = until(ctx, func() error {
		answer, err = w.bus.Conn().RequestMsg(&nats.Msg{Subject: subject, Data: b.records[0], Header: header(traced)}, time.Second)
		return err
	})
	return answer, err
}

// upOverNATS starts an instance, waits until it is in the queue group, and warms it up.
func (b *bench) upOverNATS(ctx context.Context, w *world, subject string, logging bool) (*instance, error) {
	i, err := b.serve(ctx, w, logging)
	if err != nil {
		return nil, err
	}
	err = until(ctx, func() error {
		m, err := w.bus.Conn().Request(subject, b.records[0], time.Second)
		if err == nil && m.Header.Get("Status")+m.Header.Get("Nats-Service-Error-Code") != "" {
			err = fmt.Errorf("%s: %s", m.Header, m.Data)
		}
		return err
	})
	if err == nil {
		_, err = b.request(ctx, w, subject, nil, b.config.Round/4)
	}
	if err == nil && logging {
		_, _, err = i.drain(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, i.stop())
	}
	return i, nil
}

// requests returns what puts a subject under load for a round.
func (b *bench) requests(w *world, subject string, headers map[string]string) func(context.Context) (load, error) {
	return func(ctx context.Context) (load, error) { return b.request(ctx, w, subject, headers, b.config.Round) }
}

func (b *bench) request(ctx context.Context, w *world, subject string, headers map[string]string, d time.Duration) (load, error) {
	var l load
	err := b.ask(ctx, task{Task: "load-nats", URL: w.server.ready.URL, Subject: subject, Headers: headers, Bodies: bodiesFile, Clients: b.config.Connections, For: d}, &l)
	b.spent += l.CPU
	if err == nil && l.Failed > 0 {
		b.Remark("Over NATS %d requests failed, the first with: %s.", l.Failed, l.First)
	}
	return l, err
}
