package batch_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/model/modeltest"
)

// A log that was cut off goes on from its last whole line; a partial output that is shorter than the log says is refused.
func TestTornCheckpoint(t *testing.T) {
	b := bundle(t)
	raw := content(t, modeltest.Table(t, options), batch.CSV)
	for _, format := range []batch.Format{batch.CSV, batch.Parquet} {
		root := folder(t)
		j := batch.Small(batch.Job{Bundle: b, Version: 1, Input: file(t, "in", raw), Folder: root, Output: "out", OutputFormat: format})
		stop := func(rows int64) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			interrupted := j
			batch.EachBlock(&interrupted, func(p batch.Progress) {
				require.LessOrEqual(t, p.Done, p.Total)
				if p.Rows > rows {
					cancel()
				}
			})
			_, err := batch.Run(ctx, interrupted)
			require.ErrorIs(t, err, context.Canceled)
		}
		stop(300)
		log := mustRead(t, root, "out.checkpoint")
		require.NoError(t, root.WriteFile("out.checkpoint", append(log[:len(log)-3], "\x00\x00"...), 0o600))
		stop(500)
		log = mustRead(t, root, "out.checkpoint")
		require.NoError(t, root.WriteFile("out.partial", mustRead(t, root, "out.partial")[:10], 0o600))
		_, err := batch.Run(t.Context(), j)
		require.ErrorIs(t, err, batch.ErrOther)
		require.Equal(t, log, mustRead(t, root, "out.checkpoint"))
		j.Force = true
		_, err = batch.Run(t.Context(), j)
		require.NoError(t, err)
		require.Equal(t, undisturbed(t, j), mustRead(t, root, "out"))
	}
}

// A file that no run can have left in the checkpoint's place is somebody's; the rest of a first line that a kill cut off is not.
func TestForeignCheckpoint(t *testing.T) {
	b := bundle(t)
	raw := content(t, modeltest.Table(t, options), batch.CSV)
	for text, foreign := range map[string]bool{
		"garbage\n": true, "garbage": true, "0123abcd {\"other\":1}\n": true, "": false, "\x00\x00\x00": false, "0123": false, "0123abcd {\"format\":1,\"in": false,
	} {
		root := folder(t)
		j := batch.Small(batch.Job{Bundle: b, Version: 1, Input: file(t, "in", raw), Folder: root, Output: "out", OutputFormat: batch.CSV})
		require.NoError(t, root.WriteFile("out.checkpoint", []byte(text), 0o600))
		_, err := batch.Run(t.Context(), j)
		if !foreign {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorIs(t, err, batch.ErrOther, text)
		require.Equal(t, text, string(mustRead(t, root, "out.checkpoint")))
		j.Force = true
		_, err = batch.Run(t.Context(), j)
		require.NoError(t, err, text)
	}
}
