package artifact

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// verifier hashes what passes through it.
type verifier struct {
	src  io.ReadCloser
	want Ref
	hash hash.Hash
	n    int64
	end  error // set once the end was reached, and given again
}

// NewVerifier returns a reader of src that ends in io.EOF only if exactly want.Size bytes with want.Digest came, else in
// ErrCorrupt. Bytes beyond want.Size are not handed out. Other errors of src pass unchanged. Closing it closes src.
func NewVerifier(src io.ReadCloser, want Ref) io.ReadCloser {
	return &verifier{src: src, want: want, hash: sha256.New()}
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.end != nil {
		return 0, v.end
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := v.src.Read(p)
	if v.n+int64(n) > v.want.Size {
		v.end = fmt.Errorf("%w: longer than %d bytes", ErrCorrupt, v.want.Size)
		return 0, v.end
	}
	v.n += int64(n)
	v.hash.Write(p[:n])
	if err == nil {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = v.verdict()
	}
	v.end = err
	return n, err
}

// verdict is io.EOF for the right content.
func (v *verifier) verdict() error {
	if v.n != v.want.Size {
		return fmt.Errorf("%w: %d bytes of %d", ErrCorrupt, v.n, v.want.Size)
	}
	if got := digestOf([sha256.Size]byte(v.hash.Sum(nil))); got != v.want.Digest {
		return fmt.Errorf("%w: content is %s", ErrCorrupt, got)
	}
	return io.EOF
}

func (v *verifier) Close() error { return v.src.Close() }
