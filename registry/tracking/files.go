package tracking

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/fault"
)

// sharedOwner is the subject of files that belong to no run and no logged model.
const sharedOwner = "shared"

// modelPrefix starts the ids of logged models.
const modelPrefix = "m-"

func digestOf(p *events.ArtifactStored) artifact.Digest { return artifact.Digest(p.Digest) }

// ownerOf returns the run or logged model whose file a path is: the first part that looks like an id, or "shared".
func ownerOf(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		if isID(strings.TrimPrefix(part, modelPrefix)) {
			return part
		}
	}
	return sharedOwner
}

// OwnerOf returns the id of the run or logged model whose file a path below the artifact root is, and false if it is of nobody in particular.
func OwnerOf(path string) (id string, ok bool) {
	id = ownerOf(path)
	return id, id != sharedOwner
}

// isID reports whether s is 32 hexadecimal digits in lower case.
func isID(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// PathOf returns the path below the artifact root that a URI of the artifact proxy names, "a/b" for "mlflow-artifacts:/a/b" and for
// "mlflow-artifacts://host/a/b", and false for any other URI.
func PathOf(uri string) (path string, ok bool) {
	rest, ok := strings.CutPrefix(uri, DefaultArtifactRoot)
	if !ok {
		return "", false
	}
	if host, found := strings.CutPrefix(rest, "//"); found {
		_, rest, _ = strings.Cut(host, "/")
	}
	return strings.Trim(rest, "/"), true
}

// PutFile notes that the file of a path has the content of ref, which the caller has stored. The last one of a path counts. Refused are a path that is frozen (see
// SetFrozen), that is the trainer's, or that would make a folder of a file or a file of a folder.
func (b *Book) PutFile(ctx context.Context, path string, ref artifact.Ref, actor string) error {
	if err := checkPath(path); err != nil {
		return err
	}
	if err := ref.Digest.Validate(); err != nil {
		return fault.New(fault.Invalid, "file %s: %w", quote(path), err)
	}
	if err := b.refreshAll(ctx); err != nil {
		return err
	}
	if err := b.changeable(path); err != nil {
		return err
	}
	if err := b.placeable(path); err != nil {
		return err
	}
	return b.storeFile(ctx, &events.ArtifactStored{Path: path, Digest: string(ref.Digest), SizeBytes: ref.Size, Actor: actor})
}

// refreshAll makes everything known that was stored and registered before the call, at the same time.
func (b *Book) refreshAll(ctx context.Context) error {
	g, ctx := errgroup.WithContext(asStored(ctx))
	g.Go(func() error { return b.Fresh(ctx) })
	g.Go(func() error { return b.refreshFrozen(ctx) })
	return g.Wait()
}

// storeFile publishes what happened to a file, and folds it.
func (b *Book) storeFile(ctx context.Context, p *events.ArtifactStored) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	b.state.mu.RLock()
	epoch := b.state.epoch
	b.state.mu.RUnlock()
	owner := ownerOf(p.Path)
	ev := events.New(owner, b.source, b.occurrence(0), b.now(), p)
	r, err := b.bus.Publish(ctx, ev)
	if err != nil {
		return wrap("store file "+quote(p.Path), err)
	}
	b.state.own(fact{stream: events.Tracking, typ: events.TypeArtifactStored, subject: owner, seq: r.Sequence, at: ev.Time.UnixMilli(), source: b.source, payload: p}, epoch)
	return nil
}

// changeable refuses a path that is frozen, or that is below a run of the trainer.
func (b *Book) changeable(path string) error {
	if b.isFrozen(path) {
		return invalid("file %s is part of a registered version, whose files never change", quote(path))
	}
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	if r := b.state.runs[ownerOf(path)]; r != nil && r.trainers() {
		return invalid("file %s is the trainer's and can't be changed", quote(path))
	}
	return nil
}

// placeable refuses a path that another file is a folder of, or that is a folder.
func (b *Book) placeable(path string) error {
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	n := &b.state.files.root
	for rest := path; rest != "" && n != nil; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if n = n.children[name]; n != nil && rest != "" && n.file != nil {
			return invalid("file %s: %s is a file, no folder", quote(path), quote(strings.TrimSuffix(path, "/"+rest)))
		}
	}
	if n != nil && len(n.children) > 0 {
		return invalid("file %s is a folder", quote(path))
	}
	return nil
}

// RemoveFiles removes a file, or a folder with all below it, as one; fault.NotFound if there is nothing. If a part of it is frozen nothing is removed.
func (b *Book) RemoveFiles(ctx context.Context, path, actor string) error {
	if err := checkPath(path); err != nil {
		return err
	}
	if err := b.refreshFrozen(ctx); err != nil {
		return err
	}
	if err := b.changeable(path); err != nil {
		return err
	}
	files, err := b.Under(asStored(ctx), path)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fault.New(fault.NotFound, "there is no file and no folder %s", quote(path))
	}
	for _, f := range files {
		if err := b.changeable(f.Path); err != nil {
			return err
		}
	}
	return b.storeFile(ctx, &events.ArtifactStored{Path: path, Removed: true, Actor: actor})
}

// File returns the file of a path; fault.NotFound if there is none.
func (b *Book) File(ctx context.Context, path string) (File, error) {
	if err := checkPath(path); err != nil {
		return File{}, err
	}
	if err := b.Fresh(ctx); err != nil {
		return File{}, err
	}
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	for _, t := range []*tree{b.state.trained, b.state.files} {
		if n := t.find(path); n != nil && n.file != nil {
			return showFile(path, *n.file), nil
		}
	}
	return File{}, fault.New(fault.NotFound, "there is no file %s", quote(path))
}

func showFile(path string, l leaf) File {
	return File{Path: path, Digest: unpackDigest(l.digest), Size: l.size}
}

// List returns what stands in a folder, folders first and then by name; the empty path is the root. It is empty for a folder that is unknown, and for a file.
func (b *Book) List(ctx context.Context, path string) ([]Entry, error) {
	if path != "" {
		if err := checkPath(path); err != nil {
			return nil, err
		}
	}
	if err := b.Fresh(ctx); err != nil {
		return nil, err
	}
	b.state.mu.RLock()
	entries := b.state.trained.find(path).list(b.state.files.find(path).list(nil))
	b.state.mu.RUnlock()
	slices.SortFunc(entries, compareEntries)
	return slices.CompactFunc(entries, func(a, b Entry) bool { return a.Name == b.Name && a.Dir == b.Dir }), nil
}

func compareEntries(a, b Entry) int {
	if a.Dir != b.Dir {
		if a.Dir {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.Name, b.Name)
}

// Under returns the file of a path and all files below it, by path; none where there is nothing. The empty path gives all there are.
func (b *Book) Under(ctx context.Context, path string) ([]File, error) {
	if path != "" {
		if err := checkPath(path); err != nil {
			return nil, err
		}
	}
	if err := b.Fresh(ctx); err != nil {
		return nil, err
	}
	var files []File
	b.state.mu.RLock()
	for _, t := range []*tree{b.state.trained, b.state.files} {
		t.find(path).walk(path, func(p string, l leaf) bool {
			files = append(files, showFile(p, l))
			return true
		})
	}
	b.state.mu.RUnlock()
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(files, func(a, b File) bool { return a.Path == b.Path }), nil
}
