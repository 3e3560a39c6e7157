package dataset

import (
	"errors"
	"io"
)

// input is a source whose end is io.EOF itself. A store's "connection lost: EOF", which wraps it, is a failure: taken for the end of the
// file, it would make a short table without an error.
type input struct{ r io.Reader }

func (i input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	return n, failure(err)
}

// failure returns the error of a read, as one that is not io.EOF where it only wraps that.
func failure(err error) error {
	if err != io.EOF && errors.Is(err, io.EOF) { // io.Reader gives the bare value at the end
		return readError{err}
	}
	return err
}

// readError is an error that is all its cause is but the end of a file.
type readError struct{ cause error }

func (e readError) Error() string { return e.cause.Error() }

// Is reports whether the cause is the target, which io.EOF never is.
func (e readError) Is(target error) bool { return target != io.EOF && errors.Is(e.cause, target) }

// As finds the target in the cause.
func (e readError) As(target any) bool { return errors.As(e.cause, target) }
