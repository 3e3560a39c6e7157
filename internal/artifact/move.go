package artifact

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// copies is how many objects are copied or read at a time.
const copies = 4

// maxRounds bounds how often Copy lists the source again for what was stored while it copied.
const maxRounds = 10

// Copied says what Copy did.
type Copied struct {
	// Copied is what was copied, Present what the target had already.
	Copied  int   `json:"copied"`
	Bytes   int64 `json:"copied_bytes"`
	Present int   `json:"present"`
	// Corrupt are the objects whose bytes at the source are not what their name says. They are not copied.
	Corrupt []Digest `json:"corrupt"`
}

// Copy stores every object of from in to, each verified by its digest on the way, and goes on until a list of the source holds nothing new.
// What to has with the same size is taken as present. It may be interrupted and called again. Corrupt objects don't end it; from must be a
// Lister. progress is called after each object, not concurrently; it may be nil.
func Copy(ctx context.Context, from, to Store, progress func(Copied)) (Copied, error) {
	done := Copied{Corrupt: []Digest{}}
	lister, ok := from.(Lister)
	if !ok {
		return done, fmt.Errorf("copy artifacts: %s can't list what it holds", from)
	}
	seen := map[Digest]bool{}
	var mu sync.Mutex
	for range maxRounds {
		var fresh []Ref
		err := lister.List(ctx, func(ref Ref, _ time.Time) error {
			if !seen[ref.Digest] {
				seen[ref.Digest] = true
				fresh = append(fresh, ref)
			}
			return nil
		})
		if err != nil || len(fresh) == 0 {
			return done, err
		}
		err = each(ctx, fresh, func(ctx context.Context, ref Ref) error {
			copied, err := copyOne(ctx, from, to, ref)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrCorrupt):
				done.Corrupt = append(done.Corrupt, ref.Digest)
			case errors.Is(err, ErrNotFound):
				return nil // removed since it was listed
			case err != nil:
				return err
			case copied:
				done.Copied++
				done.Bytes += ref.Size
			default:
				done.Present++
			}
			if progress != nil {
				progress(done)
			}
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// each calls fn for all refs, a few at a time, until the first error.
func each(ctx context.Context, refs []Ref, fn func(context.Context, Ref) error) error {
	g, own := errgroup.WithContext(ctx)
	g.SetLimit(copies)
	for _, ref := range refs {
		if own.Err() != nil {
			break
		}
		g.Go(func() error { return fn(own, ref) })
	}
	err := g.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return err
}

func copyOne(ctx context.Context, from, to Store, ref Ref) (copied bool, err error) {
	there, err := to.Stat(ctx, ref.Digest)
	switch {
	case err == nil && there.Size == ref.Size:
		return false, nil
	case err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt):
		return false, err
	}
	rc, err := from.Open(ctx, ref.Digest)
	if err != nil {
		return false, fmt.Errorf("copy artifact %s: %w", ref.Digest, err)
	}
	defer rc.Close()                           // the reader has told everything by then
	if _, err := to.Put(ctx, rc); err != nil { // the reader ends in ErrCorrupt unless the bytes are the digest's
		return false, fmt.Errorf("copy artifact %s: %w", ref.Digest, err)
	}
	return true, nil
}

// Checked says what Check found.
type Checked struct {
	Objects int      `json:"objects"`
	Bytes   int64    `json:"bytes"`
	Corrupt []Digest `json:"corrupt"`
}

// Check reads every object of a store to its end. Corrupt ones don't end it; s must be a Lister. progress is as Copy's.
func Check(ctx context.Context, s Store, progress func(Checked)) (Checked, error) {
	done := Checked{Corrupt: []Digest{}}
	lister, ok := s.(Lister)
	if !ok {
		return done, fmt.Errorf("check artifacts: %s can't list what it holds", s)
	}
	var refs []Ref
	if err := lister.List(ctx, func(ref Ref, _ time.Time) error { refs = append(refs, ref); return nil }); err != nil {
		return done, err
	}
	var mu sync.Mutex
	err := each(ctx, refs, func(ctx context.Context, ref Ref) error {
		err := Verify(ctx, s, ref.Digest)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, ErrNotFound):
			return nil // removed since it was listed
		case errors.Is(err, ErrCorrupt):
			done.Corrupt = append(done.Corrupt, ref.Digest)
		case err != nil:
			return err
		}
		done.Objects++
		done.Bytes += ref.Size
		if progress != nil {
			progress(done)
		}
		return nil
	})
	return done, err
}

// Drop deletes from the source what the target holds whole, which it reads to know, and what was not stored again after since. It returns how
// many objects it deleted; what the target lacks stays. from must be a Lister and a Deleter.
func Drop(ctx context.Context, from, to Store, since time.Time) (dropped int, err error) {
	lister, lists := from.(Lister)
	deleter, deletes := from.(Deleter)
	if !lists || !deletes {
		return 0, fmt.Errorf("drop artifacts: %s can't list or delete", from)
	}
	var refs []Ref
	if err := lister.List(ctx, func(ref Ref, _ time.Time) error { refs = append(refs, ref); return nil }); err != nil {
		return 0, err
	}
	var mu sync.Mutex
	err = each(ctx, refs, func(ctx context.Context, ref Ref) error {
		err := Verify(ctx, to, ref.Digest)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
			return nil
		}
		if err == nil {
			err = deleter.Delete(ctx, ref.Digest, since)
		}
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrRecent) {
			return nil
		}
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		dropped++
		return nil
	})
	return dropped, err
}
