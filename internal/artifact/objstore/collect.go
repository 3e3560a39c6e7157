package objstore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

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

// Infos are read in lots, a lot's at the same time.
const (
	listLot     = 512
	listReaders = 16
)

// List calls fn for every object with a digest for its name; see artifact.Lister. It asks for the names and then for each info, of the leader: a
// subscription to the infos, as other clients list by, does not end if those it waits for are stored anew meanwhile.
func (s *Store) List(ctx context.Context, fn func(artifact.Ref, time.Time) error) error {
	var names map[string]uint64
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		names, _, err = s.subjects(ctx, s.metaSubjects())
		return err
	})
	if err != nil {
		return fmt.Errorf("list artifacts of bucket %s: %w", s.cfg.Bucket, err)
	}
	for lot := range slices.Chunk(slices.Collect(maps.Keys(names)), listLot) {
		metas, err := s.readLot(ctx, lot)
		if err != nil {
			return fmt.Errorf("list artifacts of bucket %s: %w", s.cfg.Bucket, err)
		}
		for i, m := range metas {
			d, ok := s.digestOf(lot[i])
			if !ok || (m.junk == nil && !m.exists()) {
				continue
			}
			if err := fn(artifact.Ref{Digest: d, Size: int64(m.info.Size)}, m.at); err != nil {
				return err
			}
		}
	}
	return nil
}

// readLot returns the infos on the subjects, the zero value for one that is gone.
func (s *Store) readLot(ctx context.Context, subjects []string) ([]meta, error) {
	metas := make([]meta, len(subjects))
	g, own := errgroup.WithContext(ctx)
	g.SetLimit(listReaders)
	for i, subject := range subjects {
		g.Go(func() error {
			return s.retry(own, func(ctx context.Context) error {
				msg, err := s.leaderGet(ctx, getRequest{LastBySubject: subject})
				if errors.Is(err, jetstream.ErrMsgNotFound) {
					return nil
				}
				if err == nil {
					metas[i] = decodeMeta(msg)
				}
				return err
			})
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return metas, err
}

// metaSubjects is the wildcard of all infos.
func (s *Store) metaSubjects() string { return "$O." + s.cfg.Bucket + ".M.>" }

// digestOf returns whose info stands on a subject, and false for somebody else's object, such as what "nats object put" added.
func (s *Store) digestOf(subject string) (artifact.Digest, bool) {
	name, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(subject, "$O."+s.cfg.Bucket+".M."))
	if err != nil {
		return "", false
	}
	d, err := artifact.ParseDigest("sha256:" + string(name))
	return d, err == nil
}

// Delete marks the object as deleted by a compare-and-set on its info, and then removes its chunks; see artifact.Deleter. If it is
// interrupted between the two, Sweep removes them. Sweep also removes the mark, once it is old.
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
