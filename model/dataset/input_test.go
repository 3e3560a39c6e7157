package dataset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// failsAt gives an error at a place of a text, read from its start or from anywhere.
type failsAt struct {
	*strings.Reader
	err error
}

func (f failsAt) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// An error that wraps io.EOF is a failure wherever it comes, and not the end of the file.
func TestAWrappedEOFIsAFailure(t *testing.T) {
	h := schemaOf(t, fruit)
	lost := fmt.Errorf("connection lost: %w", errors.Join(io.EOF, &fs.PathError{Op: "read", Path: "x", Err: fs.ErrClosed}))
	_, lines := asJSONLines(t, []byte(fruits(50)))
	for _, text := range []string{"", "\n\n", "key", fruitHeader, fruits(50), string(lines), string(lines) + "{", fruits(50) + "k,\""} {
		broken := func() io.Reader { return io.MultiReader(strings.NewReader(text), iotest.ErrReader(lost)) }
		table, _, err := Load(t.Context(), broken(), h, LoadOptions{})
		require.Nil(t, table, "%q", cut(text))
		require.ErrorContains(t, err, "connection lost: EOF")
		require.NotErrorIs(t, err, io.EOF, "callers end there")
		require.ErrorIs(t, err, fs.ErrClosed)
		var path *fs.PathError
		require.ErrorAs(t, err, &path)
		r, err := NewReader(broken(), h, ReaderOptions{})
		row := h.NewRow()
		var record *RecordError
		for err == nil || errors.As(err, &record) {
			err = r.Next(row)
		}
		require.NotErrorIs(t, err, io.EOF)
		require.ErrorIs(t, err, fs.ErrClosed)
	}
	_, err := Sample(t.Context(), failsAt{strings.NewReader(""), lost}, 1000, h, SampleOptions{Rows: 10})
	require.ErrorIs(t, err, fs.ErrClosed)
}
