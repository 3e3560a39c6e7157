package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

var (
	// ErrNotFound is returned when no complete object is stored under a digest. The store itself answered so: a store that
	// can't be reached never gives this error.
	ErrNotFound = errors.New("artifact not found")
	// ErrCorrupt is returned when the stored bytes are not those that the digest names. Bytes handed out before it must be
	// thrown away. The object stays as it is; putting the right content again repairs it.
	ErrCorrupt = errors.New("artifact corrupt")
	// ErrTooLarge is returned by ReadAll for an object above its limit.
	ErrTooLarge = errors.New("artifact too large")
	// ErrFull is returned by Put where the store has no room left, if it says so. It is transient: nothing was kept, and the same Put succeeds
	// once somebody made room.
	ErrFull = errors.New("artifact store full")
	// ErrDigest is returned for a string that is not a digest.
	ErrDigest = errors.New("malformed digest")
)

// Transient reports whether the same call may succeed later without anyone changing the artifact: the store or the network was
// away, overloaded, full, or the time was up. It is false for nil and for ErrNotFound, ErrCorrupt, ErrTooLarge and
// ErrDigest, which are answers; it is true for every other error, also for one that the source of a put returned and for the
// end of the context, as neither says anything about what is stored.
func Transient(err error) bool {
	if err == nil {
		return false
	}
	for _, verdict := range []error{ErrNotFound, ErrCorrupt, ErrTooLarge, ErrDigest} {
		if errors.Is(err, verdict) {
			return false
		}
	}
	return true
}

const digestPrefix = "sha256:"

// Digest names content: "sha256:" and 64 lower-case hexadecimal digits. The zero value names nothing; every method that takes a
// Digest checks it.
type Digest string

// ParseDigest checks s and returns it as a Digest, or ErrDigest. Upper-case digits are refused, so that equal content has
// equal digests as strings.
func ParseDigest(s string) (Digest, error) {
	d := Digest(s)
	if err := d.Validate(); err != nil {
		return "", err
	}
	return d, nil
}

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest { return digestOf(sha256.Sum256(b)) }

func digestOf(sum [sha256.Size]byte) Digest { return Digest(digestPrefix + hex.EncodeToString(sum[:])) }

// Validate returns nil or ErrDigest with what was read, cut to a bearable length.
func (d Digest) Validate() error {
	digits, ok := strings.CutPrefix(string(d), digestPrefix)
	if ok && len(digits) == hex.EncodedLen(sha256.Size) && strings.Trim(digits, "0123456789abcdef") == "" {
		return nil
	}
	return fmt.Errorf("%w %.80q: want sha256: and 64 lower-case hexadecimal digits", ErrDigest, string(d))
}

// Hex returns the 64 digits without their prefix; of an invalid Digest whatever follows it.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Ref says what is stored: the digest and the number of bytes.
type Ref struct {
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`
}

// Store keeps artifacts. It is safe for concurrent use by many goroutines and, on the same place, by many processes.
type Store interface {
	// Put stores what r holds and returns its ref. The same content twice is one object. It reads r to the end before it
	// stores anything; an error, an interruption or a kill leaves nothing readable under any digest that was not there
	// before. It does not close r, and it can't interrupt a Read that hangs.
	Put(ctx context.Context, r io.Reader) (Ref, error)
	// Open streams an object. The reader checks size and digest and returns ErrCorrupt where io.EOF would come if they
	// differ; until io.EOF nothing is proven. The caller closes it. The context covers the reading, not only the call. ErrNotFound
	// may come from Open alone.
	Open(ctx context.Context, d Digest) (io.ReadCloser, error)
	// Stat returns the ref of a stored object or ErrNotFound. It does not read the bytes, so it does not find damage.
	Stat(ctx context.Context, d Digest) (Ref, error)
	// String says where the store is, for logs. It holds no credentials.
	String() string
}

// ReadAll returns the bytes of an object once they are verified. An object of more than limit bytes is ErrTooLarge, without
// reading it to its end; limit must not be negative.
func ReadAll(ctx context.Context, s Store, d Digest, limit int64) ([]byte, error) {
	if limit < 0 {
		return nil, fmt.Errorf("read artifact %s: negative limit %d", d, limit)
	}
	rc, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer rc.Close() // the bytes are verified by then
	most := limit
	if most < math.MaxInt64 {
		most++ // one more than allowed, which also asks for the end and so for the verdict
	}
	b, err := io.ReadAll(io.LimitReader(rc, most))
	if err != nil {
		return nil, fmt.Errorf("read artifact %s: %w", d, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read artifact %s: %w: more than %d bytes", d, ErrTooLarge, limit)
	}
	return b, nil
}

// PutBytes stores b.
func PutBytes(ctx context.Context, s Store, b []byte) (Ref, error) {
	return s.Put(ctx, bytes.NewReader(b))
}

// Verify reads the object to its end and returns nil, ErrNotFound, ErrCorrupt or a transient error.
func Verify(ctx context.Context, s Store, d Digest) error {
	rc, err := s.Open(ctx, d)
	if err != nil {
		return err
	}
	defer rc.Close()
	if _, err := io.Copy(io.Discard, rc); err != nil {
		return fmt.Errorf("verify artifact %s: %w", d, err)
	}
	return nil
}
