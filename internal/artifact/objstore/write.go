package objstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"telco-churn-mlops/internal/artifact"
)

const (
	// chunkSize is what other object store clients use.
	chunkSize = 128 << 10
	// window is how many chunks may be on their way without an ack.
	window = 16
	// ackTimeout is how long the oldest window of chunks may take to be acked; the client's own limit for that should be longer.
	ackTimeout = 5 * time.Second
	// cleanupTimeout bounds the removal of chunks that nobody will name, which must also happen after the caller's context ended.
	cleanupTimeout = 5 * time.Second
)

// errOvertaken says that another writer named the same content first; its object is to be checked like any other.
var errOvertaken = errors.New("another writer was first")

// upload writes chunks under a fresh name, waits until the server has all of them, and only then names them.
func (s *Store) upload(ctx context.Context, spool *artifact.Spool, old meta) error {
	id := nuid.Next()
	chunks, err := s.publishChunks(ctx, id, spool.NewReader())
	if err != nil {
		s.purge(ctx, id)
		return fmt.Errorf("write chunks: %w", err)
	}
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{
			Name: spool.Ref().Digest.Hex(),
			Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkSize},
		},
		Bucket: s.cfg.Bucket,
		NUID:   id,
		Size:   uint64(spool.Ref().Size),
		Chunks: chunks,
		Digest: wireDigest(spool.Ref().Digest),
	}
	settled, err := s.publishMeta(ctx, spool.Ref().Digest, info, old.seq)
	switch {
	case err != nil && settled:
		s.purge(ctx, id)
		return err
	case err != nil: // it may yet become visible, so the chunks stay
		return err
	}
	if old.exists() && old.junk == nil && old.check(spool.Ref().Digest) == nil {
		s.purge(ctx, old.info.NUID)
	}
	return nil
}

// publishChunks returns the number of chunks, all of them acked. Chunks aren't retried one by one, as a lost ack would make a
// second copy of the same bytes. With an error it first waits for what is on its way, so that whoever purges finds all there will be.
func (s *Store) publishChunks(ctx context.Context, id string, r io.Reader) (n uint32, err error) {
	var due []jetstream.PubAckFuture
	defer func() {
		if err != nil {
			settle(due)
		}
	}()
	buf := make([]byte, min(chunkSize, s.js.Conn().MaxPayload()))
	for ; ; n++ {
		size, err := io.ReadFull(r, buf)
		if errors.Is(err, io.EOF) {
			due, err = await(ctx, due, 0)
			return n, err
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return n, fmt.Errorf("read spool: %w", err)
		}
		if len(due) == window {
			if due, err = await(ctx, due, window-1); err != nil {
				return n, err
			}
		}
		// The client keeps the message until it is acked, so it gets bytes of its own.
		future, err := s.js.PublishAsync(s.chunkSubject(id), append([]byte(nil), buf[:size]...))
		if err != nil {
			return n, err
		}
		due = append(due, future)
	}
}

// await waits for acks in order until no more than left are due, and returns those that are.
func await(ctx context.Context, due []jetstream.PubAckFuture, left int) ([]jetstream.PubAckFuture, error) {
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	for len(due) > left {
		select {
		case <-due[0].Ok():
		case err := <-due[0].Err():
			return due[1:], err
		case <-timer.C:
			return due, errRequestTimeout
		case <-ctx.Done():
			return due, ctx.Err()
		}
		due = due[1:]
	}
	return due, nil
}

// settle waits until each chunk was acked or refused, whatever became of the caller; a server that is silent is given up after ackTimeout.
func settle(due []jetstream.PubAckFuture) {
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	for _, f := range due {
		select {
		case <-f.Ok():
		case <-f.Err():
		case <-timer.C:
			return
		}
	}
}

// publishMeta names the chunks (or, with Deleted, takes the name away), if the name still is as it was at sequence expect. settled says whether the outcome is known; an
// unanswered request is decided by reading from the leader, and sent again if nothing has changed. The same message can't take effect
// twice, since the first makes the expectation false.
func (s *Store) publishMeta(ctx context.Context, d artifact.Digest, info jetstream.ObjectInfo, expect uint64) (settled bool, err error) {
	if err := ctx.Err(); err != nil {
		return true, err // nothing was sent
	}
	data, err := json.Marshal(info)
	if err != nil {
		return true, fmt.Errorf("encode object info: %w", err)
	}
	msg := &nats.Msg{Subject: s.metaSubject(d), Data: data, Header: nats.Header{}}
	msg.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	err = s.retry(ctx, func(ctx context.Context) error {
		settled = false
		refusal := request(ctx, func(ctx context.Context) error {
			_, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(expect))
			return err
		})
		if refusal == nil {
			settled = true
			return nil
		}
		now, err := s.readMeta(ctx, d)
		if err != nil {
			return errors.Join(refusal, err)
		}
		switch {
		case now.seq != expect && now.info.NUID == info.NUID && now.info.Deleted == info.Deleted:
			settled = true // this message, or another's to the same effect
			return nil
		case now.seq != expect:
			settled = true
			return errOvertaken
		}
		var api *jetstream.APIError
		settled = errors.As(refusal, &api) && !wrongSequence(api) && !unanswered(refusal)
		if errors.As(refusal, &api) && wrongSequence(api) {
			return fmt.Errorf("%w: %w", errRequestTimeout, refusal) // an earlier try of ours is still on its way
		}
		return refusal
	})
	if err != nil {
		return settled, fmt.Errorf("write object info: %w", err)
	}
	return settled, nil
}

func wrongSequence(err *jetstream.APIError) bool {
	return err.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		err.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// purge removes chunks that no object names any more. A failure leaves bytes that are counted but invisible, for Sweep.
func (s *Store) purge(ctx context.Context, id string) {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_ = s.stream.Purge(own, jetstream.WithPurgeSubject(s.chunkSubject(id)))
}
