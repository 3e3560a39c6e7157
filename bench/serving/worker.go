package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"telco-churn-mlops/internal/bus/embedded"
)

// task is what a worker is told. Which fields matter is said at each task's function.
type task struct {
	Task string `json:"task"`
	Dir  string `json:"dir,omitempty"`
	// URL is that of a NATS server, or where HTTP is asked.
	URL     string `json:"url,omitempty"`
	Subject string `json:"subject,omitempty"`
	// Bytes is the size of each answer's body, and Headers are what goes with it over NATS; of a load, with each request.
	Bytes   int               `json:"bytes,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Bodies names the file of records to send, one a line.
	Bodies  string        `json:"bodies,omitempty"`
	Bundle  string        `json:"bundle,omitempty"`
	Clients int           `json:"clients,omitempty"` // connections, or requests in flight
	For     time.Duration `json:"for_ns,omitempty"`
	// Requests ends a load after so many; 0 leaves it to For.
	Requests int `json:"requests,omitempty"`
	Rounds   int `json:"rounds,omitempty"`
}

// ready is what a worker that serves says once it can answer, as one line of JSON.
type ready struct {
	URL string `json:"url"`
}

// work does one task. One that serves ends with in.
func work(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return fmt.Errorf("decode task: %w", err)
	}
	serve := map[string]func(task, func(ready) error) error{
		"nats": serveNATS, "nethttp": serveNetHTTP, "fasthttp": serveFastHTTP, "echo": serveEcho,
	}
	measure := map[string]func(context.Context, task) (any, error){
		"load-http": loadHTTP, "load-nats": loadNATS, "scores": measureScores, "record": measureRecord,
		"batch": measureBatch, "copy": measureCopy, "parts": measureParts,
	}
	if fn, ok := measure[t.Task]; ok {
		result, err := fn(ctx, t)
		if err != nil {
			return fmt.Errorf("task %s: %w", t.Task, err)
		}
		return json.NewEncoder(out).Encode(result)
	}
	fn, ok := serve[t.Task]
	if !ok {
		return fmt.Errorf("unknown task %q", t.Task)
	}
	err := fn(t, func(r ready) error {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, in)
		return err
	})
	if err != nil {
		return fmt.Errorf("task %s: %w", t.Task, err)
	}
	return nil
}

// serveNATS is a NATS server with a store in Dir.
func serveNATS(t task, until func(ready) error) error {
	s, err := embedded.Start(embedded.Config{Port: -1, StoreDir: t.Dir, StoreBytes: storeBytes})
	if err != nil {
		return err
	}
	return errors.Join(until(ready{URL: s.URL()}), s.Stop(context.Background()))
}

// answerOf returns an answer of a size, as dull as can be.
func answerOf(bytes int) []byte {
	answer := make([]byte, bytes)
	for i := range answer {
		answer[i] = 'x'
	}
	return answer
}

// serveNetHTTP is the least that a handler of net/http does for such a request: it reads the body and writes an answer of Bytes.
func serveNetHTTP(t task, until func(ready) error) error {
	answer := answerOf(t.Bytes)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // the client has gone: nobody is left to tell
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	err = until(ready{URL: "http://" + ln.Addr().String()})
	err = errors.Join(err, s.Close())
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// serveEcho is a bare micro service on Subject that answers Bytes, with Headers if there are any, to whatever it is sent.
func serveEcho(t task, until func(ready) error) error {
	nc, err := nats.Connect(t.URL)
	if err != nil {
		return err
	}
	defer nc.Close()
	answer := answerOf(t.Bytes)
	service, err := micro.AddService(nc, micro.Config{Name: "echo", Version: "1.0.0"})
	if err != nil {
		return err
	}
	var options []micro.RespondOpt
	if len(t.Headers) > 0 {
		headers := micro.Headers{}
		for name, value := range t.Headers {
			headers[name] = []string{value}
		}
		options = append(options, micro.WithHeaders(headers))
	}
	err = service.AddEndpoint("echo", micro.HandlerFunc(func(r micro.Request) {
		if err := r.Respond(answer, options...); err != nil {
			fmt.Fprintln(os.Stderr, "answer:", err)
		}
	}), micro.WithEndpointSubject(t.Subject))
	if err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	return errors.Join(until(ready{URL: t.URL}), service.Stop())
}
