package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go/jetstream"
)

// chunkReader reads an object's chunks in the order of the stream, one request each. It ends with io.EOF when `left` bytes came
// or the leader has no further chunk; what that means is for the verifier around it.
type chunkReader struct {
	ctx     context.Context
	store   *Store
	subject string
	left    int64  // bytes still due
	next    uint64 // lowest stream sequence of the next chunk
	rest    []byte // of the chunk at hand
	closed  bool
}

func (c *chunkReader) Read(p []byte) (int, error) {
	if c.closed {
		return 0, errors.New("read after close")
	}
	for len(c.rest) == 0 {
		if c.left <= 0 {
			return 0, io.EOF
		}
		if err := c.fetch(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// fetch gets the next chunk from any replica, or from the leader if that one hasn't got it: a replica that lags must not make an object
// look damaged.
func (c *chunkReader) fetch() error {
	return c.store.retry(c.ctx, func(ctx context.Context) error {
		var chunk message
		err := request(ctx, func(ctx context.Context) error {
			raw, err := c.store.stream.GetMsg(ctx, max(c.next, 1), jetstream.WithGetMsgSubject(c.subject))
			if err == nil {
				chunk = message{Seq: raw.Sequence, Data: raw.Data}
			}
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			chunk, err = c.store.leaderGet(ctx, getRequest{Seq: max(c.next, 1), NextBySubject: c.subject})
		}
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("read chunk: %w", err)
		}
		c.rest, c.next = chunk.Data, chunk.Seq+1
		c.left -= int64(len(chunk.Data))
		return nil
	})
}

func (c *chunkReader) Close() error {
	c.closed, c.rest = true, nil
	return nil
}
