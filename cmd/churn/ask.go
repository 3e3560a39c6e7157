package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

type exampleCmd struct {
	specFlags
	Label bool `name:"label" help:"With the target column."`
}

// Run prints the first usable record of the spec's dataset, or a generated one where the built-in spec has none.
func (c exampleCmd) Run(r *run) error {
	sp, data, err := c.load()
	if err != nil {
		return err
	}
	sch, err := dataset.NewSchema(sp)
	if err != nil {
		return err
	}
	row, err := firstRow(sp, sch, data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.out, "%s\n", sch.AppendJSON(nil, row, c.Label))
	return err
}

func firstRow(sp *spec.Spec, sch *dataset.Schema, data string) (*dataset.Row, error) {
	var in io.Reader
	switch {
	case data != "":
		f, err := os.Open(data)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	case sp.Name == spec.Telco().Name:
		var b bytes.Buffer
		if err := synth.WriteCSV(&b, synth.Config{Rows: 1, Seed: 1, Regime: synth.Original}); err != nil {
			return nil, err
		}
		in = &b
	default:
		return nil, fmt.Errorf("the spec %s names no dataset to take an example from: give --data", sp.Name)
	}
	rd, err := dataset.NewReader(in, sch, dataset.ReaderOptions{Format: sp.Dataset.Format, Delimiter: sp.Dataset.Comma()})
	if err != nil {
		return nil, err
	}
	row := sch.NewRow()
	for {
		err := rd.Next(row)
		var fault *dataset.RecordError
		switch {
		case errors.As(err, &fault):
			continue
		case errors.Is(err, io.EOF):
			return nil, errors.New("the dataset has no usable row")
		case err != nil:
			return nil, err
		}
		return row, nil
	}
}

type predictCmd struct {
	remote
	Model   string        `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
	Timeout time.Duration `name:"timeout" default:"5s" help:"How long to wait for an answer, repetitions included."`
	Record  string        `arg:"" optional:"" help:"One JSON record or a list; standard input by default, a record per line or one list."`
}

// Run asks over NATS. An answer that is an error makes the command fail, after all were asked.
func (c predictCmd) Run(r *run) error {
	token, err := events.Token(c.Model)
	if err != nil {
		return err
	}
	b, err := c.dial(r, "cli")
	if err != nil {
		return err
	}
	failed, asked := 0, 0
	err = c.records(r.in, func(body []byte) error {
		asked++
		if err := c.ask(r.ctx, r, b.Conn(), events.PredictPrefix+"."+token, body); err != nil {
			fmt.Fprintf(r.errs, "%s record %d: %v\n", bad("no answer to"), asked, err)
			failed++
		}
		return r.ctx.Err()
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d request(s) failed", failed)
	}
	return closing(b, err)
}

// records calls fn with each request body: the argument, or the lines of standard input, or the whole of it if it is a list.
func (c predictCmd) records(in io.Reader, fn func([]byte) error) error {
	if c.Record != "" {
		return fn([]byte(c.Record))
	}
	br := bufio.NewReader(in)
	asked := 0
	for {
		first, err := br.Peek(1)
		switch {
		case errors.Is(err, io.EOF) && asked > 0:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("no record was given")
		case err != nil:
			return err
		}
		if strings.ContainsAny(string(first), " \t\r\n") {
			if _, err := br.Discard(1); err != nil {
				return err
			}
			continue
		}
		asked++
		if first[0] == '[' {
			all, err := io.ReadAll(br)
			if err != nil {
				return err
			}
			return fn(all)
		}
		line, err := br.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := fn(bytes.TrimSpace(line)); err != nil {
			return err
		}
	}
}

// ask asks until there is an answer that is final, by the retry rule of docs/serving.md: a repetition has the same request id, so that it is logged once.
func (c predictCmd) ask(ctx context.Context, r *run, nc *nats.Conn, subject string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{inference.HeaderRequestID: {rand.Text()}}}
	try, began := c.Timeout/5, time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		answer, again, err := askOnce(ctx, nc, m, try)
		if err == nil {
			_, err = fmt.Fprintf(r.out, "%s\n", bytes.TrimSpace(answer))
			return err
		}
		switch {
		case !again:
			return err
		case !errors.Is(err, nats.ErrNoResponders):
			try *= 2 // so that a long list has its time, too
		case time.Since(began) > absence:
			return fmt.Errorf("no instance serves %s", c.Model)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("within %s: %w", c.Timeout, err)
		case <-time.After(pause):
		}
	}
}

const (
	// absence is how long there may be nobody who answers, as while the only instance starts anew.
	absence = time.Second
	// The pause between two tries doubles.
	firstPause, lastPause = 5 * time.Millisecond, 200 * time.Millisecond
)

// askOnce is one try. again is true of an error after which the same may be asked again.
func askOnce(ctx context.Context, nc *nats.Conn, m *nats.Msg, timeout time.Duration) (answer []byte, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	got, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout), err
	}
	if text := got.Header.Get("Nats-Service-Error"); text != "" {
		code := got.Header.Get("Nats-Service-Error-Code")
		return nil, code == "429" || code == "503", fmt.Errorf("%s %s: %s", code, text, got.Data)
	}
	return got.Data, false, nil
}
