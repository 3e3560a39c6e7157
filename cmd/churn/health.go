package main

import (
	"context"
	"io"
	"time"

	"telco-churn-mlops/internal/app"
)

// healthCmd is the health check of an image that has no shell.
type healthCmd struct {
	URL     string        `name:"url" default:"http://${inference_addr}/readyz" help:"Endpoint to ask: /readyz, /livez or /health of any service."`
	Timeout time.Duration `name:"timeout" default:"3s" help:"How long to wait for an answer."`
}

// Run fails unless the service answers 200.
func (c healthCmd) Run(r *run) error {
	ctx, cancel := context.WithTimeout(r.ctx, c.Timeout)
	defer cancel()
	if err := app.Probe(ctx, c.URL); err != nil {
		return err
	}
	_, err := io.WriteString(r.out, "ok\n")
	return err
}
