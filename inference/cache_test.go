package inference

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
)

func TestCacheKeepsTheServedBundleAndThoseBefore(t *testing.T) {
	c, err := newCache(t.TempDir(), "a model: with, odd characters")
	require.NoError(t, err)
	_, err = c.current()
	require.ErrorIs(t, err, fs.ErrNotExist)

	var digests []artifact.Digest
	for v := range 6 {
		data := []byte{byte(v)}
		d := artifact.DigestOf(data)
		digests = append(digests, d)
		n := note{Promotion: Promotion{Version: v + 1, Digest: string(d), Sequence: uint64(10 + v)}, SavedAt: time.Unix(int64(v), 0).UTC()}
		require.NoError(t, c.save(n, data))
		past := time.Now().Add(time.Duration(v-10) * time.Hour)
		require.NoError(t, os.Chtimes(c.path(d), past, past))
		got, err := c.current()
		require.NoError(t, err)
		require.Equal(t, n, got)
		read, err := c.bundle(d)
		require.NoError(t, err)
		require.Equal(t, data, read)
	}
	for v, d := range digests {
		_, err := c.bundle(d)
		if v < len(digests)-cachedBundles {
			require.ErrorIs(t, err, fs.ErrNotExist)
		} else {
			require.NoError(t, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(c.dir, ".new-*"))
	require.NoError(t, err)
	require.Empty(t, files, "no temporary files stay")

	// A rollback to the oldest one that is there makes it the served one, which is never trimmed.
	back := digests[3]
	require.NoError(t, c.save(note{Promotion: Promotion{Version: 4, Digest: string(back)}}, nil))
	_, err = c.bundle(back)
	require.NoError(t, err)
	require.ErrorIs(t, c.save(note{Promotion: Promotion{Version: 1, Digest: string(digests[0])}}, nil), fs.ErrNotExist)
	got, err := c.current()
	require.NoError(t, err)
	require.Equal(t, 4, got.Version, "a note never names a bundle that is not there")
}

func TestCacheRefusesWhatIsDamaged(t *testing.T) {
	c, err := newCache(t.TempDir(), "m")
	require.NoError(t, err)
	data := []byte("bundle")
	d := artifact.DigestOf(data)
	require.NoError(t, c.save(note{Promotion: Promotion{Version: 1, Digest: string(d)}}, data))
	require.NoError(t, os.WriteFile(c.path(d), []byte("bundlf"), 0o600))
	_, err = c.bundle(d)
	require.ErrorIs(t, err, artifact.ErrCorrupt)
	_, err = c.bundle("sha256:../../etc/passwd")
	require.ErrorIs(t, err, artifact.ErrDigest)
	for _, junk := range []string{"", "{", `{"version":1,"digest":"sha256:../x"}`} {
		require.NoError(t, os.WriteFile(filepath.Join(c.dir, noteName), []byte(junk), 0o600))
		_, err = c.current()
		require.Error(t, err, junk)
	}
	none, err := newCache("", "m")
	require.NoError(t, err)
	require.Nil(t, none)
}
