package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
)

// cachedBundles is how many bundles the folder keeps: the served one, a candidate, and those before them, to which a rollback goes.
const cachedBundles = 4

const (
	noteName     = "current.json"
	bundlePrefix = "bundle-"
	bundleSuffix = ".tar"
)

// note says which promotion was served last. Version 0 stands for a withdrawn model.
type note struct {
	Promotion
	SavedAt time.Time `json:"saved_at"`
}

// cache keeps bundles under their digest in one folder per model, and beside them a note of the one that is served. Both are written to a
// temporary file, synced and renamed, the bundle before the note, so that a note never names a bundle that is not there whole. Instances on
// one machine may share the folder.
type cache struct{ dir string }

// newCache returns the cache of a model below root, and nil for an empty root. It creates nothing.
func newCache(root, model string) (*cache, error) {
	if root == "" {
		return nil, nil
	}
	token, err := events.Token(model)
	if err != nil {
		return nil, err
	}
	return &cache{dir: filepath.Join(root, token)}, nil
}

func (c *cache) path(digest artifact.Digest) string {
	return filepath.Join(c.dir, bundlePrefix+digest.Hex()+bundleSuffix)
}

// current returns the note, or an error that wraps fs.ErrNotExist if there is none.
func (c *cache) current() (note, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, noteName))
	if err != nil {
		return note{}, fmt.Errorf("read note: %w", err)
	}
	var n note
	if err := json.Unmarshal(b, &n); err != nil {
		return note{}, fmt.Errorf("read note %s: %w", filepath.Join(c.dir, noteName), err)
	}
	if n.Version > 0 {
		if _, err := artifact.ParseDigest(n.Digest); err != nil {
			return note{}, fmt.Errorf("read note %s: %w", filepath.Join(c.dir, noteName), err)
		}
	}
	return n, nil
}

// bundle returns the bytes with a digest, checked, or an error that wraps fs.ErrNotExist or artifact.ErrCorrupt.
func (c *cache) bundle(digest artifact.Digest) ([]byte, error) {
	if err := digest.Validate(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(c.path(digest))
	if err != nil {
		return nil, fmt.Errorf("read cached bundle: %w", err)
	}
	if got := artifact.DigestOf(b); got != digest {
		return nil, fmt.Errorf("read cached bundle %s: %w: its digest is %s", c.path(digest), artifact.ErrCorrupt, got)
	}
	return b, nil
}

// add keeps a bundle beside the one that is served, unless it is there already.
func (c *cache) add(digest artifact.Digest, data []byte) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	if _, err := c.bundle(digest); err != nil {
		if err := c.write(c.path(digest), data); err != nil {
			return err
		}
	}
	n, err := c.current()
	if err != nil {
		return nil // nothing to tell from the others: they are trimmed when something is served
	}
	return c.trim(artifact.Digest(n.Digest))
}

// save keeps the bundle, unless it is there already, and then the note. data may be nil where the bundle is there or the model withdrawn.
func (c *cache) save(n note, data []byte) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	if n.Version > 0 {
		digest := artifact.Digest(n.Digest)
		if _, err := c.bundle(digest); err != nil {
			if data == nil {
				return fmt.Errorf("note version %d: %w", n.Version, err)
			}
			if err := c.write(c.path(digest), data); err != nil {
				return err
			}
		}
	}
	b, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("encode note: %w", err)
	}
	if err := c.write(filepath.Join(c.dir, noteName), append(b, '\n')); err != nil {
		return err
	}
	return c.trim(artifact.Digest(n.Digest))
}

// write replaces a file at once or not at all.
func (c *cache) write(path string, data []byte) (err error) {
	f, err := os.CreateTemp(c.dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // closed already after a failed rename; the first error counts
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(c.dir)
}

// syncDir makes renames in the folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// trim removes the oldest bundles beyond cachedBundles, never the one that is served.
func (c *cache) trim(served artifact.Digest) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("trim cache: %w", err)
	}
	var files []fs.FileInfo
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), bundlePrefix) || filepath.Join(c.dir, e.Name()) == c.path(served) {
			continue
		}
		if info, err := e.Info(); err == nil { // gone meanwhile: another instance has trimmed it
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, f := range files[min(cachedBundles-1, len(files)):] {
		if err := os.Remove(filepath.Join(c.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("trim cache: %w", err)
		}
	}
	return nil
}
