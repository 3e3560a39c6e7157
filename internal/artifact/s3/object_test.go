//go:build s3

package s3

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/artifacttest"
)

// object returns how to reach an object of a bucket of its own.
func object(t *testing.T, key string) (Config, func()) {
	t.Helper()
	cfg, kill := startServer(t)
	s := open(t, cfg) // makes a bucket
	cfg.Bucket, cfg.Prefix, cfg.PartSize = s.cfg.Bucket, key, minPartSize
	return cfg, kill
}

func TestObjectIsReadAsItWas(t *testing.T) {
	cfg, _ := object(t, "folder/rows.csv")
	_, err := OpenObject(t.Context(), cfg)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	there, err := ObjectExists(t.Context(), cfg)
	require.NoError(t, err)
	require.False(t, there)
	elsewhere := cfg
	elsewhere.Bucket = "no-such-bucket"
	_, err = ObjectExists(t.Context(), elsewhere)
	require.ErrorIs(t, err, errNoBucket)
	require.ErrorIs(t, err, artifact.ErrNotFound)

	content := artifacttest.Content(2*minPartSize + 123) // three parts
	require.NoError(t, PutObject(t.Context(), cfg, bytes.NewReader(content), int64(len(content))))
	there, err = ObjectExists(t.Context(), cfg)
	require.NoError(t, err)
	require.True(t, there)
	o, err := OpenObject(t.Context(), cfg)
	require.NoError(t, err)
	require.EqualValues(t, len(content), o.Size())
	for _, from := range []int{0, 1, minPartSize, len(content) - 1, len(content), len(content) + 5} {
		r, err := o.Open(int64(from))
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.True(t, bytes.Equal(content[min(from, len(content)):], got), "from %d", from)
	}
	p := make([]byte, 100)
	n, err := o.ReadAt(p, 77)
	require.NoError(t, err)
	require.Equal(t, content[77:177], p[:n])
	n, err = o.ReadAt(p, int64(len(content)-40))
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, content[len(content)-40:], p[:n])
	require.NoError(t, o.Check())

	require.NoError(t, PutObject(t.Context(), cfg, bytes.NewReader([]byte("other")), 5))
	require.ErrorIs(t, o.Check(), ErrChanged)
	_, err = o.Open(0)
	require.ErrorIs(t, err, ErrChanged)
	_, err = o.ReadAt(p, 0)
	require.ErrorIs(t, err, ErrChanged)
}

// A broken connection is begun again where it stood.
func TestObjectIsReadOnAfterABreak(t *testing.T) {
	cfg, _ := object(t, "rows.csv")
	content := artifacttest.Content(300_000)
	require.NoError(t, PutObject(t.Context(), cfg, bytes.NewReader(content), int64(len(content))))
	o, err := OpenObject(t.Context(), cfg)
	require.NoError(t, err)
	r, err := o.Open(0)
	require.NoError(t, err)
	reader := r.(*objectReader)
	var got []byte
	p := make([]byte, 50_000)
	for breaks := 0; ; {
		n, err := reader.Read(p)
		got = append(got, p[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if breaks++; breaks <= 3 {
			reader.body = broken{reader.body}
		}
	}
	require.True(t, bytes.Equal(content, got))
}

// broken gives nothing more.
type broken struct{ io.ReadCloser }

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
