package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/trainer"
)

type statusCmd struct {
	remote
	Trainer string `name:"trainer-url" env:"CHURN_TRAINER_URL" default:"http://${trainer_addr}" help:"Where the trainer says what it waits for."`
}

// modelStatus is the state of one model.
type modelStatus struct {
	Model      string                 `json:"model"`
	Production int                    `json:"production"`
	Since      time.Time              `json:"since,omitzero"`
	Cause      events.PromotionCause  `json:"cause,omitempty"`
	Versions   int                    `json:"versions"`
	OpenRun    string                 `json:"open_run,omitempty"`
	Instances  []registry.Instance    `json:"instances"`
	Drift      *events.DriftEvaluated `json:"drift,omitempty"`
	Live       *events.DriftEvaluated `json:"performance,omitempty"`
	Trainer    *trainer.Status        `json:"trainer,omitempty"`
	LastGate   *events.ModelGated     `json:"last_verdict,omitempty"`
	// Rollout is what is tried, or the watch of a fresh Production; Running is the one in force.
	Rollout *registry.RolloutStatus `json:"rollout,omitempty"`
	Running *registry.Rollout       `json:"running,omitempty"`
}

type loopStatus struct {
	Models      []modelStatus `json:"models"`
	DeadLetters int           `json:"dead_letters"`
}

// Run gathers the state of every model from the streams, and what the trainer says from its own port.
func (c statusCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		st, err := c.gather(ctx, b)
		if err != nil {
			return err
		}
		if r.JSON {
			return r.json(st)
		}
		return st.print(r)
	})
}

func (c statusCmd) gather(ctx context.Context, b *bus.Bus) (*loopStatus, error) {
	cat, err := registry.LoadCatalog(ctx, b)
	if err != nil {
		return nil, err
	}
	fleet, err := registry.LoadFleet(ctx, b)
	if err != nil {
		return nil, err
	}
	st := &loopStatus{Models: []modelStatus{}}
	waiting, _ := c.trainer(ctx) // a trainer elsewhere, or none, is no fault of this command
	for _, name := range cat.Models() {
		m := modelStatus{Model: name, Versions: len(cat.Versions(name)), Instances: fleet.Instances(name)}
		if p, ok := cat.Promotion(name); ok {
			m.Production, m.Since, m.Cause = p.Version, p.At, p.Cause
		}
		for _, v := range cat.Versions(name) {
			if v.Gate != nil && (m.LastGate == nil || v.Version > m.LastGate.Version) {
				m.LastGate = v.Gate
			}
		}
		for _, x := range cat.Runs(name) {
			if x.State == registry.RunOpen {
				m.OpenRun = x.ID
			}
		}
		if m.Rollout, _, err = registry.RolloutNow(ctx, b, nil, cat, fleet, name); err != nil {
			return nil, err
		}
		if o, ok := cat.Rollout(name); ok && cat.InForce(name, o) {
			m.Running = &o
		}
		if m.Drift, m.Live, err = lastEvaluations(ctx, b, name); err != nil {
			return nil, err
		}
		if waiting != nil && waiting.Model == name {
			m.Trainer = waiting
		}
		st.Models = append(st.Models, m)
	}
	err = b.DeadLetters(ctx, func(uint64, events.DeadLetter) error {
		st.DeadLetters++
		return nil
	})
	return st, err
}

// lastEvaluations returns the newest evaluation of data and of performance, nil where there is none.
func lastEvaluations(ctx context.Context, b *bus.Bus, model string) (data, live *events.DriftEvaluated, err error) {
	subject, err := events.SubjectOf(events.TypeDriftEvaluated, model)
	if err != nil {
		return nil, nil, err
	}
	err = b.Read(ctx, bus.ReadConfig{Stream: events.Drift, Filters: []string{subject}}, func(m bus.Message) error {
		if p, ok := m.Event.Payload.(*events.DriftEvaluated); ok {
			if p.Kind == events.DriftPerformance {
				live = p
			} else {
				data = p
			}
		}
		return nil
	})
	return data, live, err
}

func (c statusCmd) trainer(ctx context.Context) (*trainer.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Trainer+"/status", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var s trainer.Status
	return &s, json.NewDecoder(resp.Body).Decode(&s)
}

func (st *loopStatus) print(r *run) error {
	if len(st.Models) == 0 {
		fmt.Fprintln(r.out, "no model yet")
	}
	for _, m := range st.Models {
		production := bad("none")
		if m.Production > 0 {
			production = fmt.Sprintf("%s since %s (%s)", good(fmt.Sprintf("version %d", m.Production)), m.Since.Local().Format(time.DateTime), m.Cause)
		}
		fmt.Fprintf(r.out, "%s\n  production  %s, %d version(s)\n", bold(m.Model), production, m.Versions)
		if g := m.LastGate; g != nil {
			fmt.Fprintf(r.out, "  verdict     version %d %s: %s\n", g.Version, g.Verdict, g.Reason)
		}
		printTried(r, m)
		for _, i := range m.Instances {
			state := good("live")
			if !i.Live(time.Now()) {
				state = bad("last seen " + i.SeenAt.Local().Format(time.DateTime))
			}
			fmt.Fprintf(r.out, "  instance    %s serves version %d at %s, %s, %d predictions, %d dropped\n", i.Instance, i.Version, i.Address, state, i.Predictions, i.Dropped)
		}
		printEvaluation(r, "drift", m.Drift)
		printEvaluation(r, "performance", m.Live)
		switch {
		case m.Trainer != nil && m.Trainer.Running != "":
			fmt.Fprintf(r.out, "  trainer     run %s, step %s, tree %d\n", m.Trainer.Running, m.Trainer.Step, m.Trainer.Tree)
		case m.Trainer != nil:
			fmt.Fprintf(r.out, "  trainer     %s: %s\n", m.Trainer.Decision.Action, m.Trainer.Decision.Why)
		case m.OpenRun != "":
			fmt.Fprintf(r.out, "  trainer     run %s is open\n", m.OpenRun)
		}
	}
	_, err := fmt.Fprintf(r.out, "dead letters  %d\n", st.DeadLetters)
	return err
}

// printTried says what is tried of a model, or watched.
func printTried(r *run, m modelStatus) {
	switch o, now := m.Running, m.Rollout; {
	case o != nil && o.Mode == events.RolloutShadow:
		fmt.Fprintf(r.out, "  rollout     shadow of version %d, revision %d: it answers nobody\n", o.Version, o.Revision)
	case o != nil:
		fmt.Fprintf(r.out, "  rollout     canary of version %d answers %s, revision %d", o.Version, share(o.Share), o.Revision)
		if now != nil && now.Revision == o.Revision {
			fmt.Fprintf(r.out, ": %s", now.Reason)
		}
		fmt.Fprintln(r.out)
	case now != nil:
		fmt.Fprintf(r.out, "  rollout     version %d is watched: %s\n", now.Version, now.Reason)
	}
}

func printEvaluation(r *run, name string, e *events.DriftEvaluated) {
	if e == nil {
		return
	}
	fmt.Fprintf(r.out, "  %-11s evaluation %d at %s, %d rows, version %d:\n", name, e.Evaluation, e.WindowTo.Local().Format(time.DateTime), e.Rows, e.Version)
	for _, c := range e.Columns {
		fmt.Fprintf(r.out, "              %-16s %-8s %8.4f  over %.2f fires  n %-6d %s\n", c.Column, c.Statistic, c.Value, c.Threshold, c.N, c.State)
	}
}

type driftShowCmd struct {
	remote
	Model string `name:"model" help:"One model; all by default." placeholder:"NAME"`
}

// Run shows the last evaluations.
func (c driftShowCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		cat, err := registry.LoadCatalog(ctx, b)
		if err != nil {
			return err
		}
		all := map[string][]*events.DriftEvaluated{}
		for _, key := range models(cat, c.Model) {
			if m, ok := cat.Model(key); ok && m.Deleted {
				continue
			}
			name := nameOf(cat, key)
			data, live, err := lastEvaluations(ctx, b, key)
			if err != nil {
				return err
			}
			if !r.JSON {
				fmt.Fprintln(r.out, bold(cell(&name)))
				if data == nil && live == nil {
					fmt.Fprintln(r.out, "  no evaluation yet: drift looks at the predictions of a model once enough were answered")
				}
				printEvaluation(r, "drift", data)
				printEvaluation(r, "performance", live)
				continue
			}
			for _, e := range []*events.DriftEvaluated{data, live} {
				if e != nil {
					all[name] = append(all[name], e)
				}
			}
		}
		if r.JSON {
			return r.json(all)
		}
		return nil
	})
}
