package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	module = "telco-churn-mlops"
	// model is the one that the built-in spec describes.
	model = "telco-churn"
	// storeBytes is the budget of every server that a test starts.
	storeBytes = 1 << 30
	// patience bounds every wait for something that takes seconds on an idle machine.
	patience = 60 * time.Second
)

// work is the folder of the built programs.
var work string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	work = dir
	return m.Run()
}

// built builds the programs once, on first use, with the race detector if the test has it.
var built = sync.OnceValue(func() error {
	args := append(append([]string{"build"}, raceFlags...), "-o", work+string(filepath.Separator), module+"/cmd/churn", module+"/cmd/inference")
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
})

// churn returns the path of the churn program.
func churn(t *testing.T) string { return program(t, "churn") }

func program(t *testing.T, name string) string {
	t.Helper()
	require.NoError(t, built())
	return filepath.Join(work, name)
}

// environment is this process's without settings of ours, and with nothing of a person's in the nats tool.
func environment(home string) []string {
	env := []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home, "NO_COLOR=1"}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "CHURN_"), strings.HasPrefix(name, "NATS_"), strings.HasPrefix(name, "AWS_"), name == "HOME", name == "XDG_CONFIG_HOME":
		default:
			env = append(env, kv)
		}
	}
	return env
}

// await calls check until it returns nil, and fails with what it last said.
func await(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", limit, what, err)
		}
		<-tick.C
	}
}
