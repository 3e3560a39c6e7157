package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"telco-churn-mlops/inference/backtest"
	"telco-churn-mlops/internal/connect"
)

// predictionsCmd looks at what was answered.
type predictionsCmd struct {
	Show predictionsShowCmd `cmd:"" help:"Show where one answer came from, and prove it: its version answers the same record again."`
}

type predictionsShowCmd struct {
	remote
	connect.Artifacts
	Model string `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
	From  moment `name:"from" help:"Look for it from then on: how long ago, such as 7d, a date or a time. Only an id that the caller's request id was made into needs it." placeholder:"WHEN"`
	ID    string `arg:"" help:"The prediction's id, as the answer said."`
}

// Run shows a prediction.
func (c predictionsShowCmd) Run(r *run) error {
	l, err := c.joinLoop(r, "predictions", c.Artifacts)
	if err != nil {
		return err
	}
	p, err := backtest.Prove(r.ctx, l.bus, l.store, c.Model, c.ID, c.From.when(time.Now()))
	switch {
	case err != nil:
	case r.JSON:
		err = r.json(p)
	default:
		_, err = r.out.Write([]byte(c.text(p)))
	}
	if err == nil && p.Again != nil && !p.Equal {
		err = fmt.Errorf("version %d now says %v and not %v: the record, the bundle or the code is not what it was", p.Prediction.Version, *p.Again, p.Prediction.Score)
	}
	if err == nil && p.Again == nil {
		err = errors.New("not proven: " + p.Unproven)
	}
	return closing(l.bus, err)
}

func (c *predictionsShowCmd) text(p *backtest.Proof) string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s %s\n", what, fmt.Sprintf(format, args...))
	}
	when := func(t time.Time) string { return t.Local().Format(time.DateTime) }
	made := p.Prediction
	line("prediction", "%s, PREDICTIONS %d, stored %s", made.PredictionID, p.Sequence, when(p.StoredAt))
	line("answer", "%v, %s at the threshold %v, in %d us by %s", made.Score, cell(&made.Label), made.Threshold, made.LatencyUS, cell(&made.Instance))
	if made.EntityID != "" {
		line("entity", "%s", cell(&made.EntityID))
	}
	if made.RequestID != "" {
		line("request", "%s", cell(&made.RequestID))
	}
	if made.Arm != "" {
		line("arm", "%s, rollout %d", made.Arm, made.RolloutRevision)
	}
	if p.Registered != nil {
		line("version", "%d, bundle %s, registered %s", made.Version, p.Registered.Bundle.Digest, when(p.RegisteredAt))
	} else {
		line("version", "%d", made.Version)
	}
	if p.Promotion != nil {
		line("promotion", "LIFECYCLE %d: version %d by %s, %s", made.PromotionSequence, p.Promotion.Version, p.Promotion.Cause, when(p.PromotedAt))
	}
	if p.Run != nil {
		line("run", "%s, started %s, data %s", p.Run.RunID, when(p.Run.StartedAt), cell(&p.Run.DatasetFingerprint))
	}
	if p.Example != nil {
		line("outcome", "observed %s: %s", when(p.Example.ObservedAt), map[bool]string{true: "positive", false: "negative"}[p.Example.Observed])
	}
	if p.Equal {
		line("proof", "version %d gives the same score again, to the bit", made.Version)
	}
	line("record", "%s", made.Record)
	return b.String()
}
