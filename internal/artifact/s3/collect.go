package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"telco-churn-mlops/internal/artifact"
)

const (
	// claimTime is how long a deletion may take from its claim on: after that it does nothing more.
	claimTime = 30 * time.Second
	// claimDead is the age from which on a claim is taken for that of a process that died. The difference is for a request that is on its way.
	claimDead = 2 * time.Minute
	// claimPoll is how often a put looks whether a claim is gone.
	claimPoll = 100 * time.Millisecond
	// cleanupTimeout bounds taking back a claim, which must also happen after the caller's context ended.
	cleanupTimeout = 10 * time.Second
	// maxPresign is the longest that S3 signs for.
	maxPresign = 7 * 24 * time.Hour
)

// claims is the prefix of the claims on d, which no object's key has.
func (s *Store) claims(d artifact.Digest) string { return s.key(d) + ".deleting-" }

// List calls fn for every object under the store's prefix; see artifact.Lister.
func (s *Store) List(ctx context.Context, fn func(artifact.Ref, time.Time) error) error {
	prefix := path.Join(s.cfg.Prefix, "sha256") + "/"
	own, cancel := context.WithCancel(ctx) // ends the client's goroutine when fn fails
	defer cancel()
	for o := range s.core.Client.ListObjects(own, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return fmt.Errorf("list %s: %w", s, translate(o.Err))
		}
		d, err := artifact.ParseDigest("sha256:" + strings.TrimPrefix(o.Key, prefix))
		if err != nil {
			continue // somebody else's
		}
		if err := fn(artifact.Ref{Digest: d, Size: o.Size}, o.LastModified); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("list %s: %w", s, err)
	}
	return nil
}

// Delete removes the object; see artifact.Deleter and, for the claim, the package.
func (s *Store) Delete(ctx context.Context, d artifact.Digest, unlessNewer time.Time) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("delete artifact: %w", err)
	}
	if err := s.delete(ctx, d, unlessNewer); err != nil {
		return fmt.Errorf("delete artifact %s: %w", d, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, d artifact.Digest, unlessNewer time.Time) (err error) {
	if err := s.deletable(ctx, d, unlessNewer); err != nil {
		return err // without a claim, for the one that stays
	}
	claim := s.claims(d) + rand.Text()
	claimed, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	if err := s.write(claimed, claim, func() io.Reader { return strings.NewReader("") }, 0, minio.PutObjectOptions{}); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	defer func() {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		if undo := s.core.Client.RemoveObject(own, s.cfg.Bucket, claim, minio.RemoveObjectOptions{}); undo != nil {
			err = errors.Join(err, fmt.Errorf("take back the claim: %w", translate(undo)))
		}
	}()
	if err := s.deletable(claimed, d, unlessNewer); err != nil {
		return err
	}
	if s.looked != nil {
		s.looked()
	}
	return translate(s.core.Client.RemoveObject(claimed, s.cfg.Bucket, s.key(d), minio.RemoveObjectOptions{}))
}

// deletable returns nil, artifact.ErrNotFound or artifact.ErrRecent.
func (s *Store) deletable(ctx context.Context, d artifact.Digest, unlessNewer time.Time) error {
	_, modified, err := s.stat(ctx, d)
	if err == nil && modified.After(unlessNewer) {
		err = artifact.ErrRecent
	}
	return err
}

// survives reports whether an object that was just stored is there for good: it waits for the deletions that may have looked at the object
// before it was stored, and then looks whether one took it.
func (s *Store) survives(ctx context.Context, d artifact.Digest) (bool, error) {
	began := time.Now()
	for {
		claims, err := s.claimsOn(ctx, d)
		if err != nil {
			return false, err
		}
		_, modified, err := s.stat(ctx, d)
		switch {
		case errors.Is(err, artifact.ErrNotFound):
			return false, nil
		case err != nil || len(claims) == 0: // the look at the object must be the later one
			return err == nil, err
		}
		now := modified.Add(time.Since(began)) // by the server's clock, as the claims' times are
		for _, claim := range claims {
			if now.Sub(claim.LastModified) < s.cfg.claimDead {
				continue
			}
			if err := s.core.Client.RemoveObject(ctx, s.cfg.Bucket, claim.Key, minio.RemoveObjectOptions{}); err != nil {
				return false, fmt.Errorf("remove a dead claim: %w", translate(err))
			}
		}
		timer := time.NewTimer(claimPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		case <-timer.C:
		}
	}
}

// claimsOn returns the claims on d.
func (s *Store) claimsOn(ctx context.Context, d artifact.Digest) ([]minio.ObjectInfo, error) {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	var claims []minio.ObjectInfo
	for o := range s.core.Client.ListObjects(own, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: s.claims(d), Recursive: true}) {
		if o.Err != nil {
			return nil, fmt.Errorf("look for deletions: %w", translate(o.Err))
		}
		claims = append(claims, o)
	}
	return claims, ctx.Err()
}

// Presign returns a URL of the object; see artifact.Presigner. S3 signs for a week at most.
func (s *Store) Presign(ctx context.Context, d artifact.Digest, name string, expires time.Duration) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("presign artifact: %w", err)
	}
	if expires < time.Second || expires > maxPresign {
		return "", fmt.Errorf("presign artifact %s for %s: want 1s to %s", d, expires, maxPresign)
	}
	params := url.Values{}
	if name != "" {
		disposition := mime.FormatMediaType("attachment", map[string]string{"filename": name})
		if disposition == "" {
			disposition = "attachment"
		}
		params.Set("response-content-disposition", disposition)
	}
	u, err := s.core.Client.PresignedGetObject(ctx, s.cfg.Bucket, s.key(d), expires, params)
	if err != nil {
		return "", fmt.Errorf("presign artifact %s: %w", d, err)
	}
	return u.String(), nil
}
