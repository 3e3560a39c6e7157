package artifacttest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
)

// testMove copies a store with a damaged object to another, is interrupted, goes on, and empties the source.
func testMove(t *testing.T, h Harness, from artifact.Store) {
	to := h.Open(t)
	const objects = 12
	var refs []artifact.Ref
	for n := range objects {
		ref, err := artifact.PutBytes(t.Context(), from, Content(n*20_000+1))
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	h.Replace(t, from, refs[3].Digest, []byte("damaged"))

	ctx, cancel := context.WithCancel(t.Context())
	part, err := artifact.Copy(ctx, from, to, func(c artifact.Copied) {
		if c.Copied == 2 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.GreaterOrEqual(t, part.Copied, 2)
	require.Less(t, part.Copied, objects-1)

	done, err := artifact.Copy(t.Context(), from, to, nil)
	require.NoError(t, err)
	require.Equal(t, []artifact.Digest{refs[3].Digest}, done.Corrupt)
	require.Equal(t, objects-1, done.Copied+done.Present)
	require.GreaterOrEqual(t, done.Present, part.Copied)
	checked, err := artifact.Check(t.Context(), to, nil)
	require.NoError(t, err)
	require.Equal(t, objects-1, checked.Objects)
	require.Empty(t, checked.Corrupt)
	checked, err = artifact.Check(t.Context(), from, nil)
	require.NoError(t, err)
	require.Equal(t, []artifact.Digest{refs[3].Digest}, checked.Corrupt)

	// What the target does not hold whole stays at the source, whatever Copy said.
	h.Replace(t, to, refs[5].Digest, []byte("damaged"))
	dropped, err := artifact.Drop(t.Context(), from, to, time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, objects-2, dropped)
	left := listed(t, from)
	require.Len(t, left, 2)
	require.NoError(t, artifact.Verify(t.Context(), from, refs[5].Digest))
	dropped, err = artifact.Drop(t.Context(), to, from, time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, 1, dropped, "only what the other holds whole: the sixth, whose damaged copy goes")
}
