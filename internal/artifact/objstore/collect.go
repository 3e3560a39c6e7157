package objstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/internal/artifact"
)

// refresh makes an object that is older than artifact.RefreshAfter young again: its info is stored anew, for the same chunks. It is
// a compare-and-set, so that of it and a deletion one is refused; errOvertaken says that this one was.
func (s *Store) refresh(ctx context.Context, d artifact.Digest, old meta) error {
	if s.cfg.Now().Sub(old.at) < artifact.RefreshAfter {
		return nil
	}
	_, err := s.publishMeta(ctx, d, old.info, old.seq)
	return err
}

// List calls fn for every object with a digest for its name; see artifact.Lister. The infos are read by one subscription.
func (s *Store) List(ctx context.Context, fn func(artifact.Ref, time.Time) error) error {
	err := s.list(ctx, func(info *jetstream.ObjectInfo) error {
		d, err := artifact.ParseDigest("sha256:" + info.Name)
		if err != nil {
			return nil // somebody else's: what "nats object put" added
		}
		return fn(artifact.Ref{Digest: d, Size: int64(info.Size)}, info.ModTime)
	})
	if err != nil {
		return fmt.Errorf("list artifacts of bucket %s: %w", s.cfg.Bucket, err)
	}
	return nil
}

func (s *Store) list(ctx context.Context, fn func(*jetstream.ObjectInfo) error) error {
	bucket, err := s.js.ObjectStore(ctx, s.cfg.Bucket)
	if err != nil {
		return fmt.Errorf("bind bucket: %w", err)
	}
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := bucket.Watch(own, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch infos: %w", err)
	}
	defer func() { _ = watch.Stop() }() // the subscription may be gone with the connection
	silence := time.NewTimer(s.cfg.RetryFor)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-silence.C:
			return errRequestTimeout
		case info, open := <-watch.Updates():
			if !open {
				return errors.New("the subscription ended before the list did")
			}
			if info == nil { // all there was
				return nil
			}
			if err := fn(info); err != nil {
				return err
			}
			silence.Reset(s.cfg.RetryFor)
		}
	}
}

// Delete marks the object as deleted by a compare-and-set on its info, and then removes its chunks; see artifact.Deleter. If it is
// interrupted between the two, Sweep removes them.
func (s *Store) Delete(ctx context.Context, d artifact.Digest, unlessNewer time.Time) error {
	err := s.retry(ctx, func(ctx context.Context) error { return s.delete(ctx, d, unlessNewer) })
	if err != nil {
		return fmt.Errorf("delete artifact %s: %w", d, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, d artifact.Digest, unlessNewer time.Time) error {
	old, err := s.readMeta(ctx, d)
	switch {
	case err != nil:
		return err
	case !old.exists():
		return artifact.ErrNotFound
	case old.at.After(unlessNewer):
		return artifact.ErrRecent
	}
	gone := old.info
	if old.check(d) != nil {
		gone = jetstream.ObjectInfo{} // whatever it names is not to be trusted; Sweep finds chunks that nobody names
	}
	gone.Name, gone.Bucket, gone.Deleted, gone.Size, gone.Chunks, gone.Digest = d.Hex(), s.cfg.Bucket, true, 0, 0, ""
	_, err = s.publishMeta(ctx, d, gone, old.seq)
	switch {
	case errors.Is(err, errOvertaken):
		// A put made it young, or another collection removed it: look again, which settles it.
		return s.delete(ctx, d, unlessNewer)
	case err != nil:
		return err
	}
	if gone.NUID != "" {
		s.purge(ctx, gone.NUID)
	}
	return nil
}
