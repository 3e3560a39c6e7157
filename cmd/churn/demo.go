package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/model/spec"
)

// What the demo sends, and for how long it waits at most.
const (
	demoPlain   = 1000
	demoColumn  = "MonthlyCharges"
	demoTimeout = 3 * time.Minute
)

type demoCmd struct {
	Data  string        `name:"data" env:"CHURN_DEMO_DATA" help:"Play on this Telco file instead of generated customers." placeholder:"FILE" type:"path"`
	Rows  int           `name:"rows" default:"7043" help:"How many customers to generate where no file is given."`
	Seed  uint64        `name:"seed" default:"1" help:"Seed of the generated customers."`
	Rate  float64       `name:"rate" default:"250" help:"Requests a second, at least 150."`
	Label time.Duration `name:"label-delay" default:"500ms" help:"How long after its prediction a label is sent, at most 1s."`
	Keep  bool          `name:"keep" help:"Leave everything up at the end, and print what to try."`

	edit func(*spec.Spec) // what a test that has no time changes; nil is nothing
}

// Run plays the story. It fails unless the loop did everything by itself: the demo sends traffic and labels, and the services decide.
func (c demoCmd) Run(r *run) error {
	if c.Rate < 150 || c.Label < 0 || c.Label > time.Second {
		return errors.New("--rate must be at least 150 and --label-delay between 0 and 1s: the story's figures stand on it")
	}
	dir, err := os.MkdirTemp("", "churn-demo-")
	if err != nil {
		return fmt.Errorf("make demo folder: %w", err)
	}
	tale := newTale(r)
	err = c.play(r, tale, dir)
	if err != nil {
		tale.failed(filepath.Join(dir, "churn.log"))
		return err
	}
	return os.RemoveAll(dir)
}

// play prepares the data, starts the stack and tells the story.
func (c demoCmd) play(r *run, tale *tale, dir string) (err error) {
	sp := spec.Telco()
	sp.Retrain.Debounce = 2 * time.Second
	if c.edit != nil {
		c.edit(sp)
	}
	pools, err := c.pools(sp, filepath.Join(dir, "history.csv"))
	if err != nil {
		return err
	}
	tale.data(pools)

	logFile, err := os.Create(filepath.Join(dir, "churn.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()
	log, err := app.NewLogger(logFile, "debug", "text")
	if err != nil {
		return err
	}
	free := "127.0.0.1:0"
	up := upCmd{StoreDir: dir, Host: "127.0.0.1", Port: -1, Sync: "1s", StoreBytes: 4 << 30, WaitForServer: 30 * time.Second,
		Addr: free, RegistryAddr: free, TrainerAddr: free, DriftAddr: free, ScorerAddr: free, Instance: "demo"}
	up.Artifacts.Artifacts = "nats"
	up.ScratchDir = filepath.Join(dir, "scorer")
	st, err := up.start(r.ctx, log, sp, pools.history)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(r.ctx)
	done := make(chan error, 1)
	go func() {
		err := app.Run(ctx, log, stopTimeout, st.components...)
		stop(errors.New("the services ended before the story")) // nobody is left to wait for
		done <- err
	}()
	defer func() {
		stop(context.Canceled)
		err = errors.Join(err, <-done)
	}()
	tale.up(st)
	if err := c.tell(ctx, tale, st, sp, pools); err != nil {
		return err
	}
	if c.Keep {
		st.banner(r.out, up)
		<-r.ctx.Done()
	}
	return nil
}

// tell sends traffic and follows the events until the story has an end.
func (c demoCmd) tell(ctx context.Context, tale *tale, st *stack, sp *spec.Spec, pools *pools) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeout, fmt.Errorf("the story did not end within %s", demoTimeout))
	defer cancel()
	settings := connect.Settings{Login: st.login, URL: st.url, Name: "demo", StoreBytes: st.server.StoreBytes()}
	b, err := settings.Bus(ctx)
	if err != nil {
		return fmt.Errorf("connect the audience: %w", err)
	}
	defer func() { _ = closing(b, nil) }() // nothing hangs on it
	if err := b.Provision(ctx); err != nil {
		return err
	}

	heard := make(chan bus.Message, 4096)
	for _, stream := range []events.Stream{events.Lifecycle, events.Causes, events.Drift, events.Fleet} {
		go func() {
			_ = b.Follow(ctx, bus.FollowConfig{Name: "demo", Stream: stream}, func(ctx context.Context, m bus.Message) error {
				select {
				case heard <- m:
				case <-ctx.Done():
				}
				return nil
			}) // ends with ctx
		}()
	}

	t := newTraffic("http://"+st.predict+"/predict", sp.Name, c.Rate, b)
	t.labelAfter = c.Label
	t.onAnswer = tale.answer
	var over atomic.Bool
	sent, shifted := make(chan error, 1), make(chan int, 1)
	started := false
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-sent:
			return fmt.Errorf("the traffic ended before the story: %w", err)
		case m := <-heard:
			tale.hear(m)
		case n := <-shifted:
			tale.shifted(n)
		case <-tale.poll.C:
		}
		if tale.serving == 1 && !started {
			started = true
			tale.trafficStarts(c.Rate)
			go func() { sent <- t.send(ctx, pools.next(&over, shifted)) }()
		}
		if tale.ended() {
			over.Store(true)
			if err := <-sent; err != nil {
				return err
			}
			return tale.close(t)
		}
	}
}
