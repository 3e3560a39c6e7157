package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestDigest(t *testing.T) {
	// The digest of no bytes, as sha256sum prints it.
	const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	require.Equal(t, Digest(empty), DigestOf(nil))
	d, err := ParseDigest(empty)
	require.NoError(t, err)
	require.Equal(t, strings.TrimPrefix(empty, "sha256:"), d.Hex())
	for _, bad := range []string{
		"", "sha256:", empty[:70], empty + "0", strings.ToUpper(empty), "sha256:" + strings.ToUpper(d.Hex()), "md5:" + d.Hex(),
		d.Hex(), "sha256:" + strings.Repeat("g", 64), " " + empty, empty[:70] + "\n", strings.Repeat("x", 1<<20),
	} {
		_, err := ParseDigest(bad)
		require.ErrorIs(t, err, ErrDigest, "%.100q", bad)
		require.Less(t, len(err.Error()), 600)
	}
}

func TestTransient(t *testing.T) {
	for _, verdict := range []error{ErrNotFound, ErrCorrupt, ErrTooLarge, ErrDigest} {
		require.False(t, Transient(fmt.Errorf("read: %w", verdict)), "%v", verdict)
		require.False(t, Transient(errors.Join(errors.New("other"), verdict)), "%v", verdict)
	}
	require.False(t, Transient(nil))
	for _, away := range []error{context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF, errors.New("503")} {
		require.True(t, Transient(away), "%v", away)
	}
}

// source is a reader that counts how often it was closed.
type source struct {
	io.Reader
	closed int
}

func (s *source) Close() error {
	s.closed++
	return nil
}

func TestVerifier(t *testing.T) {
	content := []byte("the quick brown fox")
	want := Ref{Digest: DigestOf(content), Size: int64(len(content))}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"plain": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "data with end": iotest.DataErrReader,
	} {
		src := &source{Reader: wrap(bytes.NewReader(content))}
		v := NewVerifier(src, want)
		require.NoError(t, iotest.TestReader(struct{ io.Reader }{v}, content), name)
		require.NoError(t, v.Close())
		require.Equal(t, 1, src.closed)
	}
	for name, stored := range map[string]string{
		"flipped": "the quick brown fix", "short": "the quick", "empty": "", "long": "the quick brown fox ",
	} {
		for wrapName, wrap := range map[string]func(io.Reader) io.Reader{"plain": iotest.HalfReader, "data with end": iotest.DataErrReader} {
			v := NewVerifier(&source{Reader: wrap(strings.NewReader(stored))}, want)
			got, err := io.ReadAll(v)
			require.ErrorIs(t, err, ErrCorrupt, "%s, %s", name, wrapName)
			require.LessOrEqual(t, len(got), len(content), name)
			_, again := v.Read(make([]byte, 1))
			require.Equal(t, err, again, "the verdict stays")
		}
	}
	broken := errors.New("line cut")
	_, err := io.ReadAll(NewVerifier(&source{Reader: iotest.ErrReader(broken)}, want))
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, ErrCorrupt)
}

func TestSpool(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, size := range []int{0, 1, SpoolMemory - 1, SpoolMemory, SpoolMemory + 1, 2 * SpoolMemory} {
		content := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		s, err := NewSpool(t.Context(), iotest.HalfReader(bytes.NewReader(content)))
		require.NoError(t, err, "size %d", size)
		require.Equal(t, Ref{Digest: DigestOf(content), Size: int64(size)}, s.Ref())
		first, second := s.NewReader(), s.NewReader()
		_, err = io.CopyN(io.Discard, first, int64(size/2))
		require.NoError(t, err)
		got, err := io.ReadAll(second)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got), "size %d", size)
		rest, err := io.ReadAll(first)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content[size/2:], rest), "readers are independent")

		left, err := os.ReadDir(os.TempDir())
		require.NoError(t, err)
		require.Empty(t, left, "a kill would leave a file behind")
		require.NoError(t, s.Close())
	}
}

func TestSpoolErrors(t *testing.T) {
	broken := errors.New("line cut")
	big := bytes.NewReader(make([]byte, SpoolMemory+10))
	_, err := NewSpool(t.Context(), io.MultiReader(big, iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	_, err = NewSpool(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "a cut-off body is not a short one")

	t.Setenv("TMPDIR", t.TempDir()+"/gone")
	_, err = NewSpool(t.Context(), bytes.NewReader(make([]byte, SpoolMemory+10)))
	require.ErrorIs(t, err, os.ErrNotExist)
	s, err := NewSpool(t.Context(), strings.NewReader("small needs no folder"))
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func FuzzParseDigest(f *testing.F) {
	f.Add(string(DigestOf(nil)))
	f.Add("sha256:")
	f.Add("SHA256:00")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err != nil {
			require.ErrorIs(t, err, ErrDigest)
			return
		}
		require.Equal(t, s, string(d))
		require.Len(t, d.Hex(), 64)
		require.NotContains(t, d.Hex(), "/")
	})
}
