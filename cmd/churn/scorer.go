package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"telco-churn-mlops/inference/batch/place"
	"telco-churn-mlops/inference/scorer"
	"telco-churn-mlops/internal/app"
)

// scoring are the settings of a scorer.
type scoring struct {
	DataRoot   string   `name:"data-root" env:"CHURN_DATA_ROOT" help:"Folder below which scoring jobs may read and write files; empty allows S3 and the artifact store alone." placeholder:"DIR"`
	DataS3     []string `name:"data-s3" env:"CHURN_DATA_S3" help:"Buckets, or prefixes of their keys, that scoring jobs may read and write: s3://lake/scores,s3://other; empty allows what the S3 keys reach." placeholder:"PLACE"`
	ScratchDir string   `name:"scratch-dir" env:"CHURN_SCRATCH_DIR" default:"${scratch_dir}" help:"Folder for outputs on their way to a store."`
	Threads    int      `name:"score-threads" env:"CHURN_SCORE_THREADS" default:"0" help:"Goroutines that score a file; 0 is all processors."`
}

type scorerCmd struct {
	alone
	scoring
	Addr string `name:"scorer-addr" env:"CHURN_SCORER_ADDR" default:"${scorer_addr}" help:"Address of the scorer's health and metrics."`
}

// Run works off scoring jobs until stopped.
func (c scorerCmd) Run(r *run) error {
	p, err := c.process(r, "scorer")
	if err != nil {
		return err
	}
	return serve(r, p, func(ctx context.Context) (app.Component, error) {
		comp, _, err := p.scorer(ctx, c.Addr, c.scoring)
		return comp, err
	})
}

// scorer makes a worker of the scoring queue and of the shadows.
func (p *process) scorer(ctx context.Context, addr string, s scoring) (app.Component, *scorer.Service, error) {
	places := place.Places{S3: p.settings.JobObject(s.DataS3), Scratch: s.ScratchDir}
	for _, at := range s.DataS3 {
		if !strings.HasPrefix(at, "s3://") {
			return app.Component{}, nil, fmt.Errorf("--data-s3 %q: want s3://bucket or s3://bucket/prefix", at)
		}
	}
	if s.DataRoot != "" {
		root, err := os.OpenRoot(s.DataRoot)
		if err != nil {
			return app.Component{}, nil, fmt.Errorf("--data-root: %w", err)
		}
		places.Root = root
	}
	reg := newRegistry()
	b, store, err := p.join(ctx, "scorer", reg)
	if err != nil {
		return app.Component{}, nil, err
	}
	places.Store = store
	c := scorer.DefaultConfig()
	c.Addr, c.Instance, c.Places, c.Threads = addr, p.instance, places, s.Threads
	c.Bus, c.Store, c.Log, c.Metrics, c.Health = b, store, p.log, reg, app.NewHealth()
	svc, err := scorer.New(c)
	if err != nil {
		return app.Component{}, nil, closing(b, err)
	}
	shadows, err := p.shadows(b, store, reg)
	if err != nil {
		return app.Component{}, nil, closing(b, err)
	}
	return p.component("scorer", b, &scoringAndShadows{svc, shadows}), svc, nil
}
