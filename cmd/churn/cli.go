package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"

	"telco-churn-mlops/internal/app"
)

// cli is every command and flag. What belongs to a machine rather than to one call can be set as CHURN_<FLAG> too; the README's table of
// settings is made from it.
type cli struct {
	globals

	Up        upCmd        `cmd:"" help:"Run everything on this machine: NATS, trainer, registry, inference, drift and a scorer."`
	Demo      demoCmd      `cmd:"" help:"Play the whole loop once and tell its story: train, promote, serve, drift, retrain."`
	Trainer   trainerCmd   `cmd:"" help:"Run the trainer alone against --nats."`
	Registry  registryCmd  `cmd:"" help:"Run the registry alone against --nats."`
	Inference inferenceCmd `cmd:"" help:"Run one inference instance alone against --nats."`
	Drift     driftCmd     `cmd:"" help:"Run drift alone against --nats, or show what it last found (drift show)."`
	Scorer    scorerCmd    `cmd:"" help:"Run one worker of the scoring queue alone against --nats."`

	Init     initCmd     `cmd:"" help:"Write a spec for any CSV to standard output."`
	Example  exampleCmd  `cmd:"" help:"Print a record to ask a prediction for."`
	Predict  predictCmd  `cmd:"" help:"Ask for predictions over NATS: a record per line, or a JSON list."`
	Score    scoreCmd    `cmd:"" help:"Score a file of records, or have the scorers do it (--queue)."`
	Train    trainCmd    `cmd:"" help:"Ask for a run and wait for its verdict."`
	Tune     tuneCmd     `cmd:"" help:"Search the learner's parameters by nested cross-validation."`
	Backtest backtestCmd `cmd:"" help:"Answer a past period again with any version, and compare."`
	Replay   replayCmd   `cmd:"" help:"Stream a CSV as requests, shifted if asked, with its labels after a delay."`
	Generate generateCmd `cmd:"" help:"Write Telco-like customers as CSV to standard output."`

	Runs        runsCmd        `cmd:"" help:"List the runs of the models, with their metrics."`
	Models      modelsCmd      `cmd:"" help:"List the versions of the models, with stages and verdicts."`
	Promote     promoteCmd     `cmd:"" help:"Make a version Production by hand."`
	Rollback    rollbackCmd    `cmd:"" help:"Make the Production before the present one Production again."`
	Withdraw    withdrawCmd    `cmd:"" help:"Leave the model without a Production: inference answers 503."`
	Rollout     rolloutCmd     `cmd:"" help:"Try a version beside Production: canary, shadow, and what they show."`
	Predictions predictionsCmd `cmd:"" help:"Show where an answer came from, and prove it."`
	Dead        deadCmd        `cmd:"" help:"List, show or retry dead letters."`
	GC          gcCmd          `cmd:"" name:"gc" help:"Remove artifacts that no version, alias, run or recent history points to."`
	Artifacts   artifactsCmd   `cmd:"" help:"Move the artifacts to another store, or verify them."`
	Users       usersCmd       `cmd:"" help:"Add users of the registry."`
	Status      statusCmd      `cmd:"" help:"Show what the loop is doing: Production, instances, drift, what the trainer waits for."`
	Health      healthCmd      `cmd:"" help:"Ask a service whether it is ready, for a container's health check."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// globals are the flags of every command.
type globals struct {
	LogLevel  string `name:"log-level" env:"CHURN_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Log level: ${enum}."`
	LogFormat string `name:"log-format" env:"CHURN_LOG_FORMAT" default:"text" enum:"text,json" help:"Log format: ${enum}."`
	JSON      bool   `name:"json" env:"CHURN_JSON" help:"Print JSON instead of tables."`
	NoColor   bool   `name:"no-color" env:"CHURN_NO_COLOR" help:"Print without colour, as also where the output is no terminal."`
}

// run is what a command runs with.
type run struct {
	ctx context.Context
	globals
	out  io.Writer
	errs io.Writer // notes beside the output
	in   io.Reader
}

// logger writes beside the output, so that standard output stays a command's own.
func (r *run) logger() (*slog.Logger, error) {
	return app.NewLogger(r.errs, r.LogLevel, r.LogFormat)
}

// json prints v indented.
func (r *run) json(v any) error {
	e := json.NewEncoder(r.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(r *run) error {
	if r.JSON {
		return r.json(map[string]string{"version": app.Version()})
	}
	_, err := io.WriteString(r.out, "churn "+app.Version()+"\n")
	return err
}
