package artifacttest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
)

// tick is what the coarsest clock of a store shows: S3 answers in whole seconds.
const tick = time.Second

// listed returns what the store lists, with the time of each.
func listed(t *testing.T, s artifact.Store) map[artifact.Ref]time.Time {
	t.Helper()
	all := map[artifact.Ref]time.Time{}
	require.NoError(t, s.(artifact.Lister).List(t.Context(), func(r artifact.Ref, modified time.Time) error {
		require.NotContains(t, all, r, "listed twice")
		all[r] = modified
		return nil
	}))
	return all
}

func testList(t *testing.T, _ Harness, s artifact.Store) {
	require.Empty(t, listed(t, s))
	began := time.Now().Add(-tick)
	var want []artifact.Ref
	for n := range 20 {
		ref, err := artifact.PutBytes(t.Context(), s, Content(n*1000))
		require.NoError(t, err)
		want = append(want, ref)
	}
	got := listed(t, s)
	require.Len(t, got, len(want))
	for _, ref := range want {
		require.Contains(t, got, ref)
		require.WithinRange(t, got[ref], began, time.Now().Add(tick))
	}

	broken := errors.New("enough")
	calls := 0
	err := s.(artifact.Lister).List(t.Context(), func(artifact.Ref, time.Time) error {
		calls++
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, calls)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.(artifact.Lister).List(ctx, func(artifact.Ref, time.Time) error { return nil })
	require.ErrorIs(t, err, context.Canceled)
}

func testDelete(t *testing.T, h Harness, s artifact.Store) {
	deleter := s.(artifact.Deleter)
	kept, err := artifact.PutBytes(t.Context(), s, Content(10))
	require.NoError(t, err)
	before := h.Raw(t, s)
	for _, size := range []int{0, 300_000} {
		ref, err := artifact.PutBytes(t.Context(), s, Content(size))
		require.NoError(t, err)
		require.ErrorIs(t, deleter.Delete(t.Context(), ref.Digest, time.Now().Add(-time.Minute)), artifact.ErrRecent)
		require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest), "size %d", size)

		require.NoError(t, deleter.Delete(t.Context(), ref.Digest, time.Now().Add(time.Minute)), "size %d", size)
		_, err = s.Stat(t.Context(), ref.Digest)
		require.ErrorIs(t, err, artifact.ErrNotFound)
		_, err = s.Open(t.Context(), ref.Digest)
		require.ErrorIs(t, err, artifact.ErrNotFound)
		require.ErrorIs(t, deleter.Delete(t.Context(), ref.Digest, time.Now().Add(time.Minute)), artifact.ErrNotFound)
		require.Len(t, listed(t, s), 1)

		_, err = artifact.PutBytes(t.Context(), s, Content(size))
		require.NoError(t, err)
		require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest), "size %d: stored again", size)
		require.NoError(t, deleter.Delete(t.Context(), ref.Digest, time.Now().Add(time.Minute)))
	}
	require.LessOrEqual(t, h.Raw(t, s), before+2, "at most a mark of each stays")
	require.NoError(t, artifact.Verify(t.Context(), s, kept.Digest))

	h.Replace(t, s, kept.Digest, []byte("damaged"))
	require.NoError(t, deleter.Delete(t.Context(), kept.Digest, time.Now().Add(time.Minute)), "damage is garbage like any other")
	require.Empty(t, listed(t, s))
	require.ErrorIs(t, deleter.Delete(t.Context(), "sha256:../..", time.Now()), artifact.ErrDigest)
}

func testRefresh(t *testing.T, h Harness, s artifact.Store) {
	content := Content(300_000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	first := listed(t, s)[ref]
	stored := h.Raw(t, s)
	pass(t, tick+tick/2)
	again := func() time.Time {
		t.Helper()
		_, err := artifact.PutBytes(t.Context(), s, content)
		require.NoError(t, err)
		require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest))
		require.Equal(t, stored, h.Raw(t, s))
		return listed(t, s)[ref]
	}
	h.Later(t, s, artifact.RefreshAfter-time.Hour)
	require.Equal(t, first, again(), "a young object is not written")
	h.Later(t, s, artifact.RefreshAfter)
	require.Greater(t, again(), first)
}

// pass returns when the clock has gone on.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// testRace deletes objects by an age that a put at the same time makes false. Whichever comes first, a put that returned stands.
func testRace(t *testing.T, h Harness, s artifact.Store) {
	const objects = 24
	var refs []artifact.Ref
	for n := range objects {
		ref, err := artifact.PutBytes(t.Context(), s, Content(1+n*10_000))
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	old := time.Now().Add(tick / 10)
	pass(t, 2*tick)
	h.Later(t, s, artifact.MinDeleteAge)
	for n, ref := range refs {
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range 2 { // two collections
			wg.Go(func() { errs[i] = s.(artifact.Deleter).Delete(t.Context(), ref.Digest, old) })
		}
		for i := range 2 {
			wg.Go(func() { _, errs[2+i] = artifact.PutBytes(t.Context(), s, Content(1+n*10_000)) })
		}
		wg.Wait()
		for _, err := range errs[:2] {
			require.True(t, err == nil || errors.Is(err, artifact.ErrRecent) || errors.Is(err, artifact.ErrNotFound), "object %d: %v", n, err)
		}
		require.NoError(t, errors.Join(errs[2:]...), "object %d", n)
		require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest), "object %d: a put that returned was undone", n)
	}
}
