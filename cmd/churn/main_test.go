package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEnding(t *testing.T) {
	ctx := context.Background()
	at, cancel := context.WithCancelCause(ctx)
	cancel(stopped{syscall.SIGINT})
	broken := errors.New("broken")
	wrapped := fmt.Errorf("trial 3: %w", context.Cause(at))
	for name, c := range map[string]struct {
		ctx     context.Context
		command string
		err     error
		code    int
		told    string
	}{
		"done":                                {ctx, "tune", nil, 0, ""},
		"broken":                              {ctx, "tune", broken, 1, "broken"},
		"cancelled without a signal":          {ctx, "tune", context.Canceled, 1, "context canceled"},
		"done when the signal came":           {at, "tune", nil, 0, ""},
		"interrupted":                         {at, "train", wrapped, 130, "interrupted"},
		"interrupted below":                   {at, "predict", context.Canceled, 130, "interrupted"},
		"interrupted and can go on":           {at, "tune", &interrupted{wrapped, "go on"}, 130, "interrupted: go on"},
		"interrupted, and says it in its way": {at, "replay", broken, 130, "interrupted: broken"},
		"a service stopped":                   {at, "up", wrapped, 0, ""},
		"a service stopped without an error":  {at, "drift serve", nil, 0, ""},
		"a service broke when it was stopped": {at, "trainer", broken, 1, "broken"},
		"a service broke":                     {ctx, "trainer", broken, 1, "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			code, told := ending(c.ctx, c.command, c.err)
			require.Equal(t, c.code, code)
			require.Equal(t, c.told, told)
		})
	}
}

func TestServicesAreCommands(t *testing.T) {
	var c cli
	parser, err := newParser(&c)
	require.NoError(t, err)
	for command := range services {
		parsed, err := parser.Parse(strings.Fields(command))
		require.NoError(t, err)
		require.Equal(t, command, parsed.Command())
	}
	require.Equal(t, []string{"rollout", "start", "--help"}, asked([]string{"help", "rollout", "start"}))
	require.Equal(t, []string{"predict", "help"}, asked([]string{"predict", "help"}))
	parsed, err := parser.Parse([]string{"drift"})
	require.NoError(t, err)
	require.True(t, services[parsed.Command()])
}

// asChurn names the environment variable that makes TestInterruptedProcess the command itself.
const asChurn = "TEST_AS_CHURN"

func TestInterruptedProcess(t *testing.T) {
	if line := os.Getenv(asChurn); line != "" {
		os.Args = append([]string{"churn"}, strings.Split(line, "\n")...)
		main()
	}
	u := newTuner(t)
	state := u.path("tune.jsonl")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInterruptedProcess$")
		p.Env = append(os.Environ(), asChurn+"="+strings.Join(u.args("--trials", "100000", "--state", state), "\n"))
		notes, err := p.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, p.Start())
		lines := bufio.NewReader(notes)
		for range 2 { // what it is about, and a round
			_, err := lines.ReadString('\n')
			require.NoError(t, err)
		}
		require.NoError(t, p.Process.Signal(s))
		rest, err := io.ReadAll(lines)
		require.NoError(t, err)
		var exit *exec.ExitError
		require.ErrorAs(t, p.Wait(), &exit)
		require.Equal(t, 128+int(s), exit.ExitCode(), "%s", rest)
		require.Contains(t, string(rest), "interrupted: finished trials are in "+state+", go on with the same command")
	}
}

// Who exported CHURN_NATS for other commands is told why nothing was started.
func TestUpSaysThatItStartedNoServer(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	err := command(t.Context(), "", &out, &errs, "up", "--nats", "nats://u:secret@127.0.0.1:1", "--connect-timeout", "50ms", "--store-dir", t.TempDir())
	require.ErrorContains(t, err, "(--nats or CHURN_NATS names nats://u:xxxxx@127.0.0.1:1, so no server was started here)")
	require.Contains(t, errs.String(), "and starting none")
}
