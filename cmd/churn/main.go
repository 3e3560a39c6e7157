// Command churn is the whole loop in one binary: all services on an embedded NATS server, each service alone against an external one, and the
// commands of an operator. See "churn --help" and the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
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
	command, err := parser.Parse(asked(os.Args[1:]))
	parser.FatalIfErrorf(err)
	if c.NoColor {
		color.NoColor = true
	}
	ctx, stop := stoppable()
	err = command.Run(&run{ctx: ctx, globals: c.globals, out: os.Stdout, errs: os.Stderr, in: os.Stdin})
	code, told := ending(ctx, command.Command(), err)
	stop()
	if told != "" {
		fmt.Fprintln(os.Stderr, color.RedString("churn:"), told)
	}
	os.Exit(code)
}

// asked makes "help" and "help COMMAND" what --help is.
func asked(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	return append(slices.Clone(args[1:]), "--help")
}

// stopped is why a context ended: a signal asked for it.
type stopped struct{ signal syscall.Signal }

func (s stopped) Error() string { return s.signal.String() }

// Is makes it a context.Canceled, too.
func (s stopped) Is(target error) bool { return target == context.Canceled }

// stoppable returns a context that the first SIGINT or SIGTERM ends, with a stopped as the cause; those that follow do nothing.
func stoppable() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			cancel(stopped{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// services are the commands that run until a signal stops them.
var services = map[string]bool{"up": true, "trainer": true, "registry": true, "inference": true, "drift serve": true, "scorer": true}

// interrupted is the error of a command that a signal ended, with what to do next.
type interrupted struct {
	error
	next string
}

// Unwrap returns the cause.
func (e *interrupted) Unwrap() error { return e.error }

// ending returns the exit code of a command and what to say of it. A service that a signal stopped did what it should. Any other command that
// a signal cut short did not finish, and its code says so as shells do: 128 and the signal.
func ending(ctx context.Context, command string, err error) (code int, told string) {
	var by stopped
	signalled := errors.As(context.Cause(ctx), &by)
	cancelled := signalled && (errors.Is(err, context.Canceled) || errors.Is(err, by))
	var i *interrupted
	var own exitCode
	switch {
	case err == nil, cancelled && services[command]:
		return 0, ""
	case errors.As(err, &own):
		return own.code, err.Error()
	case !signalled || services[command]:
		return 1, err.Error()
	case errors.As(err, &i):
		told = "interrupted: " + i.next
	case cancelled:
		told = "interrupted"
	default:
		told = "interrupted: " + err.Error()
	}
	return 128 + int(by.signal), told
}

func newParser(c *cli) (*kong.Kong, error) {
	return kong.New(c, kong.Name("churn"), kong.Vars(vars()),
		kong.Description("A model loop that runs itself: train, gate, promote, serve, watch, retrain and roll back tabular classifiers on NATS JetStream."),
		kong.ShortUsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
}
