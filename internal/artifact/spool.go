package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// SpoolMemory is the size up to which a Spool stays in memory; more goes to a temporary file.
const SpoolMemory = 8 << 20

// Spool holds content whose digest had to be known before it could be stored. It is immutable; its readers are independent of
// each other, so an upload can be tried again. The file has no name any more when it is in use: it vanishes with the
// process.
type Spool struct {
	ref  Ref
	src  io.ReaderAt
	file *os.File // nil when in memory
}

// NewSpool reads r to its end. It returns the error of r, of the temporary folder (os.TempDir), or of ctx, which is looked at
// between reads.
func NewSpool(ctx context.Context, r io.Reader) (*Spool, error) {
	h := sha256.New()
	in := io.TeeReader(&contextReader{ctx: ctx, r: r}, h)
	var head bytes.Buffer
	n, err := io.CopyN(&head, in, SpoolMemory)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read content: %w", err)
	}
	s := &Spool{src: bytes.NewReader(head.Bytes())}
	if err == nil { // there may be more
		if s.file, err = spill(&head, in); err != nil {
			return nil, err
		}
		s.src = s.file
		if n, err = s.file.Seek(0, io.SeekEnd); err != nil {
			return nil, errors.Join(fmt.Errorf("size of spool file: %w", err), s.Close())
		}
	}
	s.ref = Ref{Digest: digestOf([sha256.Size]byte(h.Sum(nil))), Size: n}
	return s, nil
}

// spill writes head and the rest of in to a file without a name.
func spill(head, in io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "churn-artifact-*")
	if err != nil {
		return nil, fmt.Errorf("spool content: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("spool content: %w", err), f.Close())
	}
	if _, err := io.Copy(f, io.MultiReader(head, in)); err != nil {
		return nil, errors.Join(fmt.Errorf("spool content: %w", err), f.Close())
	}
	return f, nil
}

// Ref is the digest and size of the content.
func (s *Spool) Ref() Ref { return s.ref }

// NewReader returns the content from its start. It may be used until Close.
func (s *Spool) NewReader() *io.SectionReader { return io.NewSectionReader(s.src, 0, s.ref.Size) }

// Close gives back the disk space. Call it once.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("close spool file: %w", err)
	}
	return nil
}

// contextReader ends with the context's error at the first read after its end.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
