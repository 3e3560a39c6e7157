package batch_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
)

// childFolder is set for the process that TestKilled kills: the folder of its work.
const childFolder = "BATCH_TEST_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child scores in.csv to out, and says a line at each block.
func child(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "bundle"))
	if err != nil {
		return err
	}
	b, err := model.Decode(raw)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, "in.csv"))
	if err != nil {
		return err
	}
	source, err := batch.NewFile(f)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	j := batch.Small(batch.Job{Bundle: b, Version: 1, Input: source, Folder: root, Output: "out", MaxFaults: batch.AnyFaults, Threads: 2})
	if _, err := os.Stat(filepath.Join(dir, "parquet")); err == nil {
		j.OutputFormat = batch.Parquet
	}
	batch.EachBlock(&j, func(p batch.Progress) { fmt.Println(p.Rows) })
	_, err = batch.Run(bgContext(), j)
	return err
}

// A process that is killed at any moment is followed by others that are, too; what the last one leaves has the bytes of an undisturbed run.
func TestKilled(t *testing.T) {
	b := bundle(t)
	encoded, err := b.Encode()
	require.NoError(t, err)
	raw := content(t, modeltest.Table(t, modeltest.Options{Rows: 3000, Seed: 8}), batch.CSV)
	for i := len(raw) / 3; i > 0; i-- { // some rows are faulty
		if raw[i] == '\n' {
			raw = append(append(bytes.Clone(raw[:i+1]), "broken\nbroken,too\n"...), raw[i+1:]...)
			break
		}
	}
	random := rand.New(rand.NewPCG(1, uint64(os.Getpid())))
	for _, format := range []batch.Format{batch.CSV, batch.Parquet} {
		t.Run(string(format), func(t *testing.T) {
			root := folder(t)
			require.NoError(t, root.WriteFile("bundle", encoded, 0o600))
			require.NoError(t, root.WriteFile("in.csv", raw, 0o600))
			if format == batch.Parquet {
				require.NoError(t, root.WriteFile("parquet", nil, 0o600))
			}
			kills := 0
			for !killAfter(t, root.Name(), 5+random.IntN(30)) {
				kills++
				_, err := root.Stat("out")
				require.ErrorIs(t, err, os.ErrNotExist, "an output that is not whole has its name")
				require.Less(t, kills, 100, "no progress is made")
			}
			require.GreaterOrEqual(t, kills, 2)

			whole := folder(t)
			_, err := batch.Run(t.Context(), batch.Small(batch.Job{Bundle: b, Version: 1, Input: file(t, "in.csv", raw), Folder: whole, Output: "out",
				OutputFormat: format, MaxFaults: 2}))
			require.NoError(t, err)
			for _, name := range []string{"out", "out.faults.csv"} {
				require.Equal(t, mustRead(t, whole, name), mustRead(t, root, name), name)
			}
			require.Len(t, read(t, root, "out", format), 3000)
		})
	}
}

// killAfter runs a child and kills it once it said so many lines. It reports whether the child came to its end before.
func killAfter(t *testing.T, dir string, lines int) (ended bool) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childFolder+"="+dir)
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewScanner(out)
	for n := 0; said.Scan(); {
		if n++; n == lines {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	err = cmd.Wait()
	if err != nil && told.Len() > 0 {
		t.Fatalf("child: %s", told.String())
	}
	return err == nil
}
