// Command churn is the whole loop in one binary: all services on an embedded NATS server, each service alone against an external one, and the
// commands of an operator. See "churn --help" and the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/fatih/color"

	"telco-churn-mlops/internal/app"
)

func main() {
	if err := app.UnsetEmpty("CHURN_"); err != nil {
		fmt.Fprintln(os.Stderr, "churn:", err)
		os.Exit(2)
	}
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "churn:", err)
		os.Exit(2)
	}
	command, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	if c.NoColor {
		color.NoColor = true
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = command.Run(&run{ctx: ctx, globals: c.globals, out: os.Stdout, errs: os.Stderr, in: os.Stdin})
	if err != nil && !(errors.Is(err, context.Canceled) && ctx.Err() != nil) {
		fmt.Fprintln(os.Stderr, color.RedString("churn:"), err)
		os.Exit(1)
	}
}

func newParser(c *cli) (*kong.Kong, error) {
	return kong.New(c, kong.Name("churn"), kong.Vars(vars()),
		kong.Description("A model loop that runs itself: train, gate, promote, serve, watch, retrain and roll back tabular classifiers on NATS JetStream."),
		kong.ShortUsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
}
