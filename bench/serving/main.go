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
	if err := start(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "serving:", err)
		os.Exit(1)
	}
}

// start parses the arguments and is the driver, or a worker where -worker holds its task.
func start(ctx context.Context, args []string, in io.Reader, out, progress io.Writer) error {
	c := DefaultConfig()
	flags := flag.NewFlagSet("serving", flag.ContinueOnError)
	flags.SetOutput(progress)
	worker := flags.String("worker", "", "do this task, as JSON, until the input ends; the driver starts its workers so")
	flags.StringVar(&c.Bin, "bin", c.Bin, "folder with the programs churn and inference; that of this program by default")
	flags.StringVar(&c.Data, "data", c.Data, "the real Telco file; generated customers stand in for it where it is missing")
	flags.StringVar(&c.Peers, "peers", c.Peers, "folder with the Python servers to measure against")
	flags.StringVar(&c.Python, "python", c.Python, "Python interpreter with fastapi, uvicorn, uvloop, httptools and sklearn")
	flags.StringVar(&c.Work, "work", c.Work, "folder for stores and data; a temporary one by default")
	flags.IntVar(&c.Rounds, "rounds", c.Rounds, "how often each side is measured, of which the median is taken")
	flags.DurationVar(&c.Round, "round", c.Round, "length of a round")
	flags.IntVar(&c.Connections, "connections", c.Connections, "connections, and requests in flight over NATS")
	flags.IntVar(&c.Requests, "requests", c.Requests, "requests over which memory is watched")
	flags.IntVar(&c.Promotions, "promotions", c.Promotions, "promotions during full load")
	flags.IntVar(&c.BatchRows, "batch-rows", c.BatchRows, "rows of the file that is scored")
	only := flags.String("only", "", "sections to run, separated by commas: "+strings.Join(sectionNames(), ", "))
	outs := flags.String("out", "", "Markdown files, separated by commas, whose block between <!-- bench-serving --> marks is rewritten: with the whole report in the first, with the main table in the others")
	short := flags.Bool("short", false, "sizes that take less than a minute, to see that everything works")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *worker != "" {
		return work(ctx, *worker, in, out)
	}
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	if *outs != "" {
		c.Out = strings.Split(*outs, ",")
	}
	if *short {
		c = c.short()
	}
	if err := c.Validate(); err != nil {
		return err
	}
	return drive(ctx, c, out, progress)
}
