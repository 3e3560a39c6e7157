// Package artifacttest is the suite that every artifact.Store passes: one description of what a store promises, run against each
// on a real server.
package artifacttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
)

// Harness gives the suite a store and three looks behind it. All fields are required.
type Harness struct {
	// Open returns an empty store.
	Open func(t *testing.T) artifact.Store
	// Replace puts content in the place of the object d, behind the store's back, so that the store still holds it under d.
	Replace func(t *testing.T, s artifact.Store, d artifact.Digest, content []byte)
	// Raw counts what is stored, complete or not, in whatever unit: 0 for an empty store.
	Raw func(t *testing.T, s artifact.Store) int
	// Later sets the clock that the store measures ages by forward.
	Later func(t *testing.T, s artifact.Store, by time.Duration)
}

const large = 20 << 20

// Content returns n bytes that look random, the same for the same n.
func Content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}).Read(b) // never fails
	return b
}

// Run runs the suite; every case has a store of its own.
func Run(t *testing.T, h Harness) {
	for _, tc := range []struct {
		name string
		run  func(t *testing.T, h Harness, s artifact.Store)
	}{
		{"round trip", testRoundTrip},
		{"same content is one object", testSameTwice},
		{"concurrent puts of the same content", testConcurrent},
		{"concurrent puts of different content", testConcurrentDifferent},
		{"source fails half way", testSourceFails},
		{"context ends half way", testContextEnds},
		{"context ended before", testContextEnded},
		{"not found", testNotFound},
		{"malformed digests", testMalformedDigests},
		{"damage is found by every read", testDamage},
		{"put repairs damage", testRepair},
		{"limit of ReadAll", testLimit},
		{"reader in small steps, closed early", testReader},
		{"list", testList},
		{"delete", testDelete},
		{"put makes an old object young", testRefresh},
		{"puts and deletions at once", testRace},
		{"move to another store", testMove},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, h, h.Open(t)) })
	}
}

func testRoundTrip(t *testing.T, _ Harness, s artifact.Store) {
	for _, size := range []int{0, 1, 200_000, artifact.SpoolMemory - 1, artifact.SpoolMemory, artifact.SpoolMemory + 1, large} {
		content := Content(size)
		// The plain reader hides every other method, as a network body would.
		ref, err := s.Put(t.Context(), struct{ io.Reader }{bytes.NewReader(content)})
		require.NoError(t, err, "size %d", size)
		require.Equal(t, artifact.Ref{Digest: artifact.DigestOf(content), Size: int64(size)}, ref)
		stat, err := s.Stat(t.Context(), ref.Digest)
		require.NoError(t, err, "size %d", size)
		require.Equal(t, ref, stat)
		got, err := artifact.ReadAll(t.Context(), s, ref.Digest, large)
		require.NoError(t, err, "size %d", size)
		require.True(t, bytes.Equal(content, got), "size %d", size)
		require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest))
	}
}

func testSameTwice(t *testing.T, h Harness, s artifact.Store) {
	content := Content(300_000)
	first, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	stored := h.Raw(t, s)
	require.Positive(t, stored)
	second, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Equal(t, stored, h.Raw(t, s))
}

func testConcurrent(t *testing.T, h Harness, s artifact.Store) {
	content := Content(400_000)
	putAll(t, s, content, content, content, content, content, content, content, content)
	got, err := artifact.ReadAll(t.Context(), s, artifact.DigestOf(content), large)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))

	alone := h.Open(t)
	_, err = artifact.PutBytes(t.Context(), alone, content)
	require.NoError(t, err)
	require.Equal(t, h.Raw(t, alone), h.Raw(t, s), "the losers left something behind")
}

func testConcurrentDifferent(t *testing.T, _ Harness, s artifact.Store) {
	contents := [][]byte{Content(0), Content(1), Content(2), Content(130_000), Content(131_072), Content(131_073)}
	putAll(t, s, contents...)
	for _, content := range contents {
		require.NoError(t, artifact.Verify(t.Context(), s, artifact.DigestOf(content)), "size %d", len(content))
	}
}

// putAll puts all at once and waits.
func putAll(t *testing.T, s artifact.Store, contents ...[]byte) {
	t.Helper()
	errs := make([]error, len(contents))
	var wg sync.WaitGroup
	for i, content := range contents {
		wg.Go(func() { _, errs[i] = artifact.PutBytes(t.Context(), s, content) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

func testSourceFails(t *testing.T, h Harness, s artifact.Store) {
	broken := errors.New("disk on fire")
	for _, size := range []int{1, 400_000, artifact.SpoolMemory, large} {
		content := Content(size)
		half := content[:size/2]
		_, err := s.Put(t.Context(), io.MultiReader(bytes.NewReader(half), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, "size %d", size)
		requireNothing(t, h, s, half, content)
	}
}

func testContextEnds(t *testing.T, h Harness, s artifact.Store) {
	for _, size := range []int{400_000, large} {
		content := Content(size)
		half := content[:size/2]
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.Put(ctx, io.MultiReader(bytes.NewReader(half), &onRead{do: cancel}, bytes.NewReader(content[size/2:])))
		require.ErrorIs(t, err, context.Canceled, "size %d", size)
		requireNothing(t, h, s, half, content)
	}
}

// onRead is an empty reader that calls do when it is reached.
type onRead struct{ do func() }

func (r *onRead) Read([]byte) (int, error) {
	r.do()
	return 0, io.EOF
}

func testContextEnded(t *testing.T, h Harness, s artifact.Store) {
	ref, err := artifact.PutBytes(t.Context(), s, Content(5))
	require.NoError(t, err)
	stored := h.Raw(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = artifact.PutBytes(ctx, s, Content(6))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, stored, h.Raw(t, s))
	_, err = artifact.ReadAll(ctx, s, ref.Digest, large)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, artifact.Transient(err))
	_, err = s.Stat(ctx, ref.Digest)
	require.ErrorIs(t, err, context.Canceled)
}

func requireNothing(t *testing.T, h Harness, s artifact.Store, contents ...[]byte) {
	t.Helper()
	for _, content := range contents {
		_, err := s.Stat(t.Context(), artifact.DigestOf(content))
		require.ErrorIs(t, err, artifact.ErrNotFound, "%d bytes", len(content))
	}
	require.Zero(t, h.Raw(t, s), "something is stored")
}

func testNotFound(t *testing.T, _ Harness, s artifact.Store) {
	_, err := artifact.PutBytes(t.Context(), s, Content(10))
	require.NoError(t, err)
	absent := artifact.DigestOf([]byte("never stored"))
	_, err = s.Stat(t.Context(), absent)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.False(t, artifact.Transient(err))
	require.ErrorContains(t, err, string(absent))
	_, err = s.Open(t.Context(), absent)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.ErrorContains(t, err, string(absent))
	_, err = artifact.ReadAll(t.Context(), s, absent, large)
	require.ErrorIs(t, err, artifact.ErrNotFound)
}

func testMalformedDigests(t *testing.T, _ Harness, s artifact.Store) {
	for _, d := range []artifact.Digest{"", "sha256:", "sha256:../../etc/passwd", "md5:0", artifact.DigestOf(nil) + "0", ">", "*"} {
		_, err := s.Stat(t.Context(), d)
		require.ErrorIs(t, err, artifact.ErrDigest, "stat %q", d)
		_, err = s.Open(t.Context(), d)
		require.ErrorIs(t, err, artifact.ErrDigest, "open %q", d)
		require.False(t, artifact.Transient(err))
	}
}

// damages are the ways in which an object of 300,000 bytes can differ from what its name says.
func damages(content []byte) map[string][]byte {
	flipped := bytes.Clone(content)
	flipped[len(flipped)-1] ^= 1
	return map[string][]byte{
		"last bit flipped": flipped,
		"truncated":        content[:200_000],
		"emptied":          {},
		"longer":           append(bytes.Clone(content), 0),
		"something else":   Content(300_001),
	}
}

func testDamage(t *testing.T, h Harness, s artifact.Store) {
	content := Content(300_000)
	for name, damaged := range damages(content) {
		ref, err := artifact.PutBytes(t.Context(), s, content)
		require.NoError(t, err)
		h.Replace(t, s, ref.Digest, damaged)
		got, err := artifact.ReadAll(t.Context(), s, ref.Digest, large)
		require.ErrorIs(t, err, artifact.ErrCorrupt, name)
		require.False(t, artifact.Transient(err), name)
		require.ErrorContains(t, err, string(ref.Digest), name)
		require.Nil(t, got, name)
		require.ErrorIs(t, artifact.Verify(t.Context(), s, ref.Digest), artifact.ErrCorrupt, name)
	}
}

func testRepair(t *testing.T, h Harness, s artifact.Store) {
	content := Content(300_000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	stored := h.Raw(t, s)
	for name, damaged := range damages(content) {
		h.Replace(t, s, ref.Digest, damaged)
		_, err = artifact.PutBytes(t.Context(), s, content)
		require.NoError(t, err, name)
		require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest), name)
		require.Equal(t, stored, h.Raw(t, s), "%s: the damaged bytes stayed", name)
	}
}

func testLimit(t *testing.T, _ Harness, s artifact.Store) {
	content := Content(300_000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	for _, limit := range []int64{300_000, 300_001, 1<<63 - 1} {
		got, err := artifact.ReadAll(t.Context(), s, ref.Digest, limit)
		require.NoError(t, err, "limit %d", limit)
		require.Len(t, got, len(content))
	}
	for _, limit := range []int64{0, 1, 299_999} {
		_, err := artifact.ReadAll(t.Context(), s, ref.Digest, limit)
		require.ErrorIs(t, err, artifact.ErrTooLarge, "limit %d", limit)
		require.False(t, artifact.Transient(err))
	}
	_, err = artifact.ReadAll(t.Context(), s, ref.Digest, -1)
	require.ErrorContains(t, err, "negative limit")
	empty, err := artifact.PutBytes(t.Context(), s, nil)
	require.NoError(t, err)
	got, err := artifact.ReadAll(t.Context(), s, empty.Digest, 0)
	require.NoError(t, err)
	require.Empty(t, got)
}

func testReader(t *testing.T, _ Harness, s artifact.Store) {
	content := Content(300_000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	rc, err := s.Open(t.Context(), ref.Digest)
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(struct{ io.Reader }{rc}, content))
	n, err := rc.Read(make([]byte, 1))
	require.Zero(t, n)
	require.Equal(t, io.EOF, err, "the end stays the end")
	require.NoError(t, rc.Close())

	rc, err = s.Open(t.Context(), ref.Digest)
	require.NoError(t, err)
	_, err = io.ReadFull(rc, make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, rc.Close())
	_, err = io.ReadAll(rc)
	require.Error(t, err, "reading after close must not look like the end")
}
