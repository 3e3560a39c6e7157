package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

// start parses the arguments and is the driver, or the registry where -worker says so.
func start(ctx context.Context, args []string, in io.Reader, out, progress io.Writer) error {
	c := DefaultConfig()
	flags := flag.NewFlagSet("registry", flag.ContinueOnError)
	worker := flags.String("worker", "", "be a registry on this NATS server until the input ends; the driver starts it so")
	runs := flags.String("runs", join(c.Runs), "numbers of runs to measure at, ascending, separated by commas")
	flags.IntVar(&c.Searches, "searches", c.Searches, "how often each query is asked")
	flags.IntVar(&c.Clients, "clients", c.Clients, "clients that call log-batch at the same time")
	flags.IntVar(&c.Rounds, "rounds", c.Rounds, "rounds of log-batch calls on either side, of which the median is taken")
	flags.DurationVar(&c.Round, "round", c.Round, "length of a round")
	flags.Int64Var(&c.StoreBytes, "store-bytes", c.StoreBytes, "size of the server's store, a tenth of which is for runs")
	flags.StringVar(&c.Dir, "dir", c.Dir, "folder for the store; a temporary one by default")
	flags.StringVar(&c.Profiles, "cpuprofile", c.Profiles, "folder for CPU profiles of the registries")
	flags.StringVar(&c.Out, "out", c.Out, "Markdown file whose block between <!-- bench-registry --> marks is rewritten")
	short := flags.Bool("short", false, "sizes that take seconds, to see that everything works")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *worker != "" {
		return work(ctx, *worker, c.Profiles, in, out)
	}
	var err error
	if c.Runs, err = numbers(*runs); err != nil {
		return err
	}
	if *short {
		if c.Out != "" {
			return fmt.Errorf("-out is for a whole run: it does not go with -short")
		}
		c = c.short()
	}
	if err := c.Validate(); err != nil {
		return err
	}
	return drive(ctx, c, out, progress)
}

func numbers(text string) ([]int, error) {
	var all []int
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("-runs: %q is no number", field)
		}
		all = append(all, n)
	}
	return all, nil
}

func join(ns []int) string {
	parts := make([]string, len(ns))
	for i, n := range ns {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, ",")
}
