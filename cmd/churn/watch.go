package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
)

// watch tells on the screen of "churn up" what becomes of its model: what a person waits for after the start, and what wants one later.
// Safe for concurrent use.
type watch struct {
	model, predict string
	bus            *bus.Bus
	from           map[events.Stream]uint64 // what is news comes after these

	mu         sync.Mutex
	out        io.Writer
	now        func() time.Time
	production int // the version that was promoted last, 0 for none
}

// watched are the streams that are told of, and what of them.
var watched = map[events.Stream][]events.Type{
	events.Lifecycle: {events.TypeRunStarted, events.TypeRunCompleted, events.TypeRunFailed, events.TypeModelGated, events.TypeModelPromoted},
	events.Fleet:     {events.TypeModelLoaded, events.TypeModelLoadFailed},
	events.Causes:    {events.TypeDriftAlert, events.TypeDriftCleared},
}

// newWatch joins the loop before its services run, so that it misses nothing, and says how things stand if this is no first start. A
// dataset that can't be read is an error while the model has no Production, and else a warning on the screen: serving goes on without it.
func (st *stack) newWatch(ctx context.Context, out io.Writer, data string) (w *watch, err error) {
	settings := st.process.settings
	settings.Name, settings.Log = "screen", st.process.log
	b, err := settings.Bus(ctx)
	if err != nil {
		return nil, fmt.Errorf("screen: connect to NATS: %w", err)
	}
	defer func() {
		if err != nil {
			err = closing(b, err)
		}
	}()
	if err := b.Provision(ctx); err != nil {
		return nil, err
	}
	w = &watch{model: st.spec.Name, predict: st.predict, bus: b, from: map[events.Stream]uint64{}, out: out, now: time.Now}
	for s := range watched {
		if w.from[s], err = b.LastSequence(ctx, s); err != nil {
			return nil, err
		}
	}
	cat, err := registry.LoadCatalog(ctx, b)
	if err != nil {
		return nil, err
	}
	return w, w.stands(cat, data)
}

// stands tells the state that an earlier start left.
func (w *watch) stands(cat *registry.Catalog, data string) error {
	p, serving := cat.Production(w.model)
	if err := readable(data); err != nil {
		if !serving {
			return err
		}
		w.say(warn("data"), "%v; version %d goes on, and nothing can be trained until this is mended", err, p.Version)
	}
	w.production = p.Version
	if serving {
		w.say("start", "version %d is Production from an earlier start", p.Version)
		return nil
	}
	if runs := cat.Runs(w.model); len(runs) > 0 && runs[0].Failed != nil {
		w.say(bad("failed"), "the last run, at %s, failed in step %s: %s", runs[0].At.Local().Format(time.DateTime), runs[0].Failed.Step, runs[0].Failed.Reason)
		w.next()
	}
	return nil
}

// next says what a person can do after a run that gave no Production.
func (w *watch) next() {
	if v := w.promoted(); v > 0 {
		w.say("", "version %d goes on answering; once the data is mended: churn train --model %s --target production", v, w.model)
		return
	}
	w.say("", "nothing is served yet: another file is trained on by itself, another spec after a restart")
}

// promoted returns the Production version, 0 for none.
func (w *watch) promoted() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.production
}

// readable says what is wrong with a dataset's path. An empty one is none.
func readable(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	if info.IsDir() {
		return fmt.Errorf("dataset: %s is a folder, not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	return f.Close()
}

// component follows the streams until it is told to stop.
func (w *watch) component() app.Component {
	return app.Component{Name: "screen", Run: func(ctx context.Context) error {
		var all sync.WaitGroup
		errs := make(chan error, len(watched))
		for stream := range watched {
			all.Go(func() { errs <- w.follow(ctx, stream) })
		}
		all.Wait()
		close(errs)
		var first error
		for err := range errs {
			if first == nil {
				first = err
			}
		}
		return closing(w.bus, first)
	}}
}

func (w *watch) follow(ctx context.Context, stream events.Stream) error {
	f := bus.FollowConfig{Name: "screen", Stream: stream, From: w.from[stream] + 1}
	for _, t := range watched[stream] {
		subject, err := events.SubjectOf(t, w.model)
		if err != nil {
			return err
		}
		f.Filters = append(f.Filters, subject)
	}
	return w.bus.Follow(ctx, f, func(_ context.Context, m bus.Message) error {
		if m.Err == nil {
			w.hear(m)
		}
		return nil
	})
}

// hear tells one event.
func (w *watch) hear(m bus.Message) {
	switch p := m.Event.Payload.(type) {
	case *events.RunStarted:
		w.say("training", "run %s, %d cause(s): %s", short(p.RunID), len(p.Causes), why(p.Causes))
	case *events.RunCompleted:
		w.say("trained", "in %.1f s: f1_churn %.4f, roc_auc %.4f on rows it did not learn from", float64(p.DurationMS)/1000, p.Metrics["f1_churn"], p.Metrics["roc_auc"])
		if p.Quarantined > 0 {
			w.say("", "%d faulty rows were left out", p.Quarantined)
		}
	case *events.RunFailed:
		w.say(bad("failed"), "in step %s: %s", p.Step, p.Reason)
		w.next()
	case *events.ModelGated:
		w.gated(p)
	case *events.ModelPromoted:
		w.mu.Lock()
		w.production = p.Version
		w.mu.Unlock()
		if p.Version == 0 {
			w.say(bad("withdrawn"), "version %d, so the model has no Production", p.PreviousVersion)
			return
		}
		w.say(good("promoted"), "version %d (%s)", p.Version, p.Cause)
	case *events.ModelLoaded:
		if p.Rollout > 0 {
			w.say(good("loaded"), "version %d beside Production, for revision %d of its rollout", p.Version, p.Rollout)
			return
		}
		w.say(good("serving"), "version %d answers at http://%s/predict", p.Version, w.predict)
	case *events.ModelLoadFailed:
		w.say(bad("load failed"), "version %d: %s", p.Version, p.Reason)
	case *events.DriftAlert:
		w.say(warn("drift"), "%s %s %.3f > %.2f over %d rows; action %s", p.Column, p.Statistic, p.Value, p.Threshold, p.N, p.Action)
	case *events.DriftCleared:
		w.say(good("drift"), "%s cleared: %s %.3f < %.2f", p.Column, p.Statistic, p.Value, p.Threshold)
	}
}

// gated tells a verdict that ends without a promotion, with the rules that decided it.
func (w *watch) gated(p *events.ModelGated) {
	if p.Verdict == events.VerdictPromotable {
		return
	}
	detail := ""
	if p.Detail != "" {
		detail = ", " + p.Detail
	}
	w.say(warn(string(p.Verdict)), "version %d: %s%s", p.Version, p.Reason, detail)
	for _, r := range p.Rules {
		if !r.Passed {
			w.say("", "%s does not hold: %s against %s", r.Rule, number(r.Value), number(r.Against))
		}
	}
	if w.promoted() == 0 {
		w.next()
	}
}

func why(causes []events.Cause) string {
	text := ""
	for i, c := range causes {
		if i > 0 {
			text += "; "
		}
		text += string(c.Kind) + " (" + c.Detail + ")"
	}
	return text
}

// say prints a line. The topic's width counts what is seen: a colour's codes are not.
func (w *watch) say(topic, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pad := max(0, 12-visible(topic))
	fmt.Fprintf(w.out, "%s  %s%*s%s\n", w.now().Format(time.TimeOnly), topic, pad, "", fmt.Sprintf(format, args...))
}

// visible counts the bytes of s outside escape sequences of colour.
func visible(s string) int {
	n, escaped := 0, false
	for _, c := range []byte(s) {
		switch {
		case c == 0x1b:
			escaped = true
		case escaped:
			escaped = c != 'm'
		default:
			n++
		}
	}
	return n
}
