package objstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// SweepAge is the age of the last chunk from which on Sweep takes a put for dead.
const SweepAge = time.Hour

// Sweep removes the chunks that puts left behind when they were killed: those that no object names and whose last one is older than
// SweepAge by the server's clock, and the marks of deletions that are as old. It returns how many puts it cleaned up after. It is for a quiet moment, such as once a
// day; any number of processes may sweep at once.
//
// It removes nothing at all if some object's info can't be read, as that might name any chunks. What it can't see is a put
// that slept (a stopped machine) for more than SweepAge between its last chunk and its name: the object would then appear,
// be reported as corrupt by every read, and be repaired by the next put of its content.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	n, err := s.sweep(ctx, SweepAge)
	if err != nil {
		return n, fmt.Errorf("sweep artifact bucket %s: %w", s.cfg.Bucket, err)
	}
	return n, nil
}

func (s *Store) sweep(ctx context.Context, age time.Duration) (int, error) {
	// Chunks first: a name given to one of them before the second look is then seen by it.
	chunks, now, err := s.subjects(ctx, s.chunkSubject(">"))
	if err != nil {
		return 0, err
	}
	metas, _, err := s.subjects(ctx, s.metaSubjects())
	if err != nil {
		return 0, err
	}
	marks := map[string]uint64{}
	for subject := range metas {
		msg, err := s.leaderGet(ctx, getRequest{LastBySubject: subject})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read object info: %w", err)
		}
		m := decodeMeta(msg)
		if m.junk != nil {
			return 0, fmt.Errorf("%s: %w", subject, m.junk)
		}
		if !m.info.Deleted { // a deletion that was interrupted leaves its chunks
			delete(chunks, s.chunkSubject(m.info.NUID))
		} else if _, ours := s.digestOf(subject); ours && now.Sub(m.at) >= age {
			marks[subject] = m.seq
		}
	}
	swept := 0
	for subject := range chunks {
		last, err := s.leaderGet(ctx, getRequest{LastBySubject: subject})
		if errors.Is(err, jetstream.ErrMsgNotFound) || (err == nil && now.Sub(last.Time) < age) {
			continue
		}
		if err != nil {
			return swept, fmt.Errorf("read chunk: %w", err)
		}
		if err := s.stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return swept, fmt.Errorf("purge %s: %w", strings.TrimPrefix(subject, s.chunkSubject("")), err)
		}
		swept++
	}
	for subject, seq := range marks { // a put that expects the mark is told, and looks again
		if err := s.stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(seq+1)); err != nil {
			return swept, fmt.Errorf("purge the mark of a deletion: %w", err)
		}
	}
	return swept, nil
}

// subjects returns the stream's subjects that match filter, with their counts, and the server's time.
func (s *Store) subjects(ctx context.Context, filter string) (map[string]uint64, time.Time, error) {
	// A handle of its own, as asking for information changes what a handle holds while others read by it.
	stream, err := s.js.Stream(ctx, s.streamName())
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("bind stream: %w", err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("list %s: %w", filter, err)
	}
	return info.State.Subjects, info.TimeStamp, nil
}
