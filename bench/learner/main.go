package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "learner:", err)
		os.Exit(1)
	}
}

// start parses the arguments and is the driver, or the worker where -worker says so.
func start(ctx context.Context, args []string, out, progress io.Writer) error {
	c := DefaultConfig()
	flags := flag.NewFlagSet("learner", flag.ContinueOnError)
	worker := flags.String("worker", "", "do one task, given as JSON, and print its result as JSON; the driver starts workers so")
	flags.StringVar(&c.Data, "data", c.Data, "the real Telco file")
	flags.StringVar(&c.Folds, "folds", c.Folds, "its folds: a CSV of row and one column per seed")
	flags.StringVar(&c.Python, "python", c.Python, "the interpreter that has the peers")
	flags.StringVar(&c.Work, "work", c.Work, "folder for generated data, kept for the next run; a temporary one by default")
	flags.IntVar(&c.Rounds, "rounds", c.Rounds, "runs of each side, of which the median is taken")
	flags.BoolVar(&c.Quick, "quick", c.Quick, "small sizes and one round, to see that everything works")
	flags.BoolVar(&c.Huge, "huge", c.Huge, "fit 10,000,000 rows too")
	flags.StringVar(&c.Profiles, "cpuprofile", c.Profiles, "folder for CPU profiles of our side, each of one more run that is not counted")
	only := flags.String("only", "", "sections to run, separated by commas: "+strings.Join(sectionNames(), ", "))
	blocks := flags.String("out", "", "Markdown files, separated by commas, whose block between <!-- bench-learner --> marks is rewritten: the first gets everything, the others the main table")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *worker != "" {
		return work(ctx, *worker, out)
	}
	c.Only, c.Out = list(*only), list(*blocks)
	if err := c.Validate(); err != nil {
		return err
	}
	return drive(ctx, c, out, progress)
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
