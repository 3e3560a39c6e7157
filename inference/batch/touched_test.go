package batch_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/model/modeltest"
)

// The input is never one of the files that the work writes or removes, whatever it is called by.
func TestInputInTheOutputsPlace(t *testing.T) {
	b := bundle(t)
	raw := content(t, modeltest.Table(t, modeltest.Options{Rows: 60, Seed: 4}), batch.CSV)
	for _, name := range []string{"out", "out.faults.csv", "out.partial", "out.partial.faults", "out.checkpoint"} {
		root := folder(t)
		require.NoError(t, root.WriteFile(name, raw, 0o600))
		require.NoError(t, os.Link(filepath.Join(root.Name(), name), filepath.Join(root.Name(), "link.csv")))
		f, err := root.Open("link.csv")
		require.NoError(t, err)
		source, err := batch.NewFile(f)
		require.NoError(t, err)
		_, err = batch.Run(t.Context(), batch.Job{Bundle: b, Input: source, Folder: root, Output: "./out", Force: true})
		require.ErrorIs(t, err, batch.ErrInvalid, name)
		require.Equal(t, raw, mustRead(t, root, name))
		require.NoError(t, f.Close())
	}
}

// What somebody else did to the files of a work is found out before it goes on, or says that it is done.
func TestTouchedOutput(t *testing.T) {
	b := bundle(t)
	raw := content(t, modeltest.Table(t, modeltest.Options{Rows: 80, Seed: 9}), batch.CSV)
	flip := func(t *testing.T, root *os.Root, name string) {
		t.Helper()
		p := mustRead(t, root, name)
		p[len(p)/3] ^= 1
		require.NoError(t, root.WriteFile(name, p, 0o600))
	}
	for _, tt := range []struct {
		name  string
		done  bool // but for the names
		touch func(*testing.T, *os.Root)
		want  error
	}{
		{"a byte of the part", false, func(t *testing.T, r *os.Root) { flip(t, r, "out.partial") }, batch.ErrOther},
		{"no part", false, func(t *testing.T, r *os.Root) { require.NoError(t, r.Remove("out.partial")) }, batch.ErrOther},
		{"another output", false, func(t *testing.T, r *os.Root) { require.NoError(t, r.WriteFile("out", raw, 0o600)) }, batch.ErrExists},
		{"another list", false, func(t *testing.T, r *os.Root) { require.NoError(t, r.WriteFile("out.faults.csv", raw, 0o600)) }, batch.ErrExists},
		{"nothing", true, func(*testing.T, *os.Root) {}, nil},
		{"a name given", true, func(t *testing.T, r *os.Root) { require.NoError(t, r.Rename("out.partial", "out")) }, nil},
		{"a byte of the whole", true, func(t *testing.T, r *os.Root) { flip(t, r, "out.partial") }, batch.ErrOther},
		{"a byte behind the whole", true, func(t *testing.T, r *os.Root) {
			require.NoError(t, r.WriteFile("out.partial", append(mustRead(t, r, "out.partial"), 'x'), 0o600))
		}, batch.ErrOther},
		{"no whole", true, func(t *testing.T, r *os.Root) { require.NoError(t, r.Remove("out.partial")) }, batch.ErrOther},
		{"another output beside the whole", true, func(t *testing.T, r *os.Root) { require.NoError(t, r.WriteFile("out", raw, 0o600)) }, batch.ErrExists},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := folder(t)
			j := batch.Small(batch.Job{Bundle: b, Version: 1, Input: file(t, "in", raw), Folder: root, Output: "out"})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			begun := j
			begun.Hold = tt.done
			batch.EachBlock(&begun, func(p batch.Progress) {
				if p.Rows > 30 && !tt.done {
					cancel()
				}
			})
			_, err := batch.Run(ctx, begun)
			require.Equal(t, !tt.done, errors.Is(err, context.Canceled), "%v", err)
			tt.touch(t, root)
			before := files(t, root)
			r, err := batch.Run(t.Context(), j)
			require.ErrorIs(t, err, tt.want)
			if tt.want != nil {
				after := files(t, root)
				for name, was := range before {
					require.Equal(t, was, after[name], name)
				}
				j.Force = true
				r, err = batch.Run(t.Context(), j)
				require.NoError(t, err)
			}
			got := mustRead(t, root, "out")
			require.Equal(t, undisturbed(t, j), got)
			require.Equal(t, digest(got), r.Digest)
		})
	}
}

// files returns what a folder holds.
func files(t *testing.T, root *os.Root) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(root.Name())
	require.NoError(t, err)
	out := map[string]string{}
	for _, e := range entries {
		out[e.Name()] = string(mustRead(t, root, e.Name()))
	}
	return out
}

// A list of faulty rows that is there is not taken away, and not replaced, unless that is wanted.
func TestListThatExists(t *testing.T) {
	root := folder(t)
	require.NoError(t, root.WriteFile("out.faults.csv", []byte("mine"), 0o600))
	j := batch.Job{Bundle: bundle(t), Input: file(t, "in", content(t, modeltest.Table(t, modeltest.Options{Rows: 60, Seed: 4}), batch.CSV)), Folder: root, Output: "out"}
	_, err := batch.Run(t.Context(), j)
	require.ErrorIs(t, err, batch.ErrExists)
	require.Equal(t, map[string]string{"out.faults.csv": "mine"}, files(t, root))
	j.Force = true
	_, err = batch.Run(t.Context(), j)
	require.NoError(t, err)
	require.Len(t, files(t, root), 1)
}

// Of rows that are far longer than a block one is in hand at a time.
func TestLongRowsOneByOne(t *testing.T) {
	const long = 100 << 10
	lines := strings.SplitAfter(string(content(t, modeltest.Table(t, modeltest.Options{Rows: 50, Seed: 4}), batch.CSV)), "\n")
	var text strings.Builder
	for i, l := range lines[:20] {
		note := ",note\n"
		if i > 0 {
			note = "," + strings.Repeat("x", long) + "\n"
		}
		text.WriteString(strings.TrimSuffix(l, "\n") + note)
	}
	in := &counted{File: file(t, "in", []byte(text.String()))}
	j := batch.Small(batch.Job{Bundle: bundle(t), Input: in, Folder: folder(t), Output: "out", Threads: 4})
	ahead := int64(0)
	batch.EachBlock(&j, func(p batch.Progress) { ahead = max(ahead, in.read.Load()-p.Done) })
	r, err := batch.Run(t.Context(), j)
	require.NoError(t, err)
	require.EqualValues(t, 19, r.Scored)
	require.Less(t, ahead, int64(4*long))
}

// counted counts what is read.
type counted struct {
	*batch.File
	read atomic.Int64
}

func (c *counted) Open(offset int64) (io.ReadCloser, error) {
	r, err := c.File.Open(offset)
	return &countedReader{r, c}, err
}

type countedReader struct {
	io.ReadCloser
	to *counted
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.to.read.Add(int64(n))
	return n, err
}
