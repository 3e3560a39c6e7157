// Package place finds what a scoring job reads and writes: local files, objects of S3, and artifacts of the project's store. Inputs of all kinds are
// read as they were when they were opened. Outputs that are not local files are first written in a folder of the machine, where a run that was
// killed goes on, and stored as a whole once they are whole: nobody ever sees half of one. What is lost with the machine is begun anew.
package place

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/s3"
)

const (
	// s3Scheme begins the name of an object of S3.
	s3Scheme = "s3://"
	// artifactScheme is an output that goes to the artifact store, whose digest is its name.
	artifactScheme = "artifact:"
	digestScheme   = "sha256:"
)

// ErrRefused says that a place can't be used, now or later: a path outside the data folder, or a kind of place that was not set up.
var ErrRefused = errors.New("place refused")

// Places says what may be used. The zero value refuses everything.
type Places struct {
	// Root is the folder that paths are taken below; no path leaves it, by ".." or by a symbolic link. nil: no paths, unless Anywhere.
	Root *os.Root
	// Anywhere takes paths as the machine has them: for a command that a person runs, never for a service.
	Anywhere bool
	// S3 turns s3://bucket/key into a Config with credentials; nil: no objects of S3.
	S3 func(uri string) (s3.Config, error)
	// Store holds artifacts; nil: none.
	Store artifact.Store
	// Scratch is a folder for what is on its way to or from a store; it is made if it isn't there.
	Scratch string
}

// Input is a source that has to be closed.
type Input struct {
	batch.Source
	Name  string // by which its format can be told; "" if it says nothing
	at    string // of an object: endpoint, bucket and key
	close func() error
}

// Close gives the input up.
func (i *Input) Close() error {
	if i.close == nil {
		return nil
	}
	return i.close()
}

// Input opens what is to be read. ctx covers the reading. It fails with ErrRefused, fs.ErrNotExist or artifact.ErrNotFound where no retry helps.
func (p Places) Input(ctx context.Context, uri string) (*Input, error) {
	switch {
	case strings.HasPrefix(uri, s3Scheme):
		cfg, err := p.config(uri)
		if err != nil {
			return nil, err
		}
		o, err := s3.OpenObject(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("input: %w", err)
		}
		return &Input{Source: changing{o}, Name: cfg.Prefix, at: whereOf(cfg)}, nil
	case strings.HasPrefix(uri, digestScheme):
		return p.artifact(ctx, uri)
	}
	f, err := p.open(uri)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	source, err := batch.NewFile(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrRefused, err), f.Close())
	}
	return &Input{Source: source, Name: uri, close: f.Close}, nil
}

// noFolder says why a scorer takes no path, and by which flag it would.
const noFolder = "this scorer has no data folder (its --data-root)"

func (p Places) open(path string) (*os.File, error) {
	switch {
	case p.Anywhere:
		return os.Open(path)
	case p.Root == nil:
		return nil, fmt.Errorf("%w: %s: %s", ErrRefused, path, noFolder)
	}
	name, err := p.below(path)
	if err != nil {
		return nil, err
	}
	f, err := p.Root.Open(name)
	return f, escaped(err)
}

// below returns a path relative to the data folder. An absolute one may name it in full.
func (p Places) below(path string) (string, error) {
	if strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("%w: a name with a zero byte", ErrRefused)
	}
	name := path
	if filepath.IsAbs(path) {
		rel, err := filepath.Rel(p.Root.Name(), path)
		if err != nil {
			return "", fmt.Errorf("%w: %s is not in the data folder", ErrRefused, path)
		}
		name = rel
	}
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%w: %s is not in the data folder", ErrRefused, path)
	}
	return name, nil
}

// escaped marks an error of a path that leaves the folder by a link. os.Root has no name for it: what it opens is refused or not there.
func escaped(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

func (p Places) config(uri string) (s3.Config, error) {
	if p.S3 == nil {
		return s3.Config{}, fmt.Errorf("%w: %s: S3 is not set up", ErrRefused, uri)
	}
	cfg, err := p.S3(uri)
	if err == nil && (cfg.Prefix == "" || cfg.CreateBucket) {
		err = fmt.Errorf("%s: want s3://bucket/key", uri)
	}
	if err != nil {
		return s3.Config{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return cfg, nil
}

// whereOf tells objects apart.
func whereOf(cfg s3.Config) string { return cfg.Endpoint + "/" + cfg.Bucket + "/" + cfg.Prefix }

// changing turns the store's word for a change into the batch's.
type changing struct{ *s3.Object }

// Is is false: an object is no file.
func (changing) Is(os.FileInfo) bool { return false }

// Check returns batch.ErrChanged if the object is another one now, and so do readers.
func (c changing) Check() error { return changed(c.Object.Check()) }

// ReadAt reads at any place.
func (c changing) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Object.ReadAt(p, off)
	return n, changed(err)
}

// Open returns a reader from an offset.
func (c changing) Open(offset int64) (io.ReadCloser, error) {
	r, err := c.Object.Open(offset)
	return changingReader{r}, changed(err)
}

type changingReader struct{ io.ReadCloser }

// Read reads on.
func (r changingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	return n, changed(err)
}

func changed(err error) error {
	if errors.Is(err, s3.ErrChanged) {
		return fmt.Errorf("%w: %w", batch.ErrChanged, err)
	}
	return err
}

// artifact copies an artifact to a file of its own that has no name, as it can be read from its start only and is proven at its end.
func (p Places) artifact(ctx context.Context, uri string) (*Input, error) {
	d, err := artifact.ParseDigest(uri)
	if err != nil || p.Store == nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRefused, uri, errors.Join(err, noStore(p.Store)))
	}
	if err := os.MkdirAll(p.Scratch, 0o700); err != nil {
		return nil, fmt.Errorf("input: make scratch folder: %w", err)
	}
	f, err := os.CreateTemp(p.Scratch, "input-*")
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	_ = os.Remove(f.Name()) // where the system lets a file that is open lose its name, a kill leaves nothing behind
	undo := func() error {
		err := f.Close()
		if rerr := os.Remove(f.Name()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return err
	}
	r, err := p.Store.Open(ctx, d)
	if err == nil {
		_, err = io.Copy(f, r)
		err = errors.Join(err, r.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("input: %w", err), undo())
	}
	source, err := batch.NewFile(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("input: %w", err), undo())
	}
	return &Input{Source: named{source, uri}, close: undo}, nil
}

func noStore(s artifact.Store) error {
	if s == nil {
		return errors.New("no artifact store is set up")
	}
	return nil
}

// named is a copy of what has a digest for its identity, whenever the copy was made.
type named struct {
	*batch.File
	digest string
}

// Identity is the digest.
func (n named) Identity() string { return n.digest }

// Output is where a job writes, and where that goes once it is whole.
type Output struct {
	Folder *os.Root
	Name   string // in Folder
	// Hold is to be Job.Hold: the output is not a local file, and Store takes it from where it was written.
	Hold bool
	// Format is what the name says. Where it says none, Format is empty and NoFormat the reason.
	Format   batch.Format
	NoFormat error

	store  func(ctx context.Context, r *batch.Result) (uri, faults string, err error)
	remove string // a folder
	at     string // of an object, as in Input
}

// Apart returns ErrRefused for an input that is an object which the output would take the place of. Package batch looks after files.
func (o *Output) Apart(in *Input) error {
	if in.at != "" && (in.at == o.at || in.at == o.at+batch.FaultsSuffix) {
		return fmt.Errorf("output: %w: it would take the place of the input", ErrRefused)
	}
	return nil
}

// Output opens the place of an output. job names the work, so that a run on the same machine finds what an earlier one left. With replace unset, an output that is
// there already, and is no local file, is batch.ErrExists; package batch looks after local files.
func (p Places) Output(ctx context.Context, uri, job string, replace bool) (*Output, error) {
	switch {
	case strings.HasPrefix(uri, s3Scheme):
		cfg, err := p.config(uri)
		if err != nil {
			return nil, err
		}
		if there, err := s3.ObjectExists(ctx, cfg); err != nil {
			return nil, fmt.Errorf("output: %w", err)
		} else if there && !replace {
			return nil, fmt.Errorf("output: %w: %s", batch.ErrExists, uri)
		}
		format, unsaid := batch.FormatOf(cfg.Prefix)
		o, err := p.held(job, format)
		if err == nil {
			o.Format, o.NoFormat, o.at = format, unsaid, whereOf(cfg)
			o.store = func(ctx context.Context, r *batch.Result) (string, string, error) { return o.upload(ctx, cfg, uri, r) }
		}
		return o, err
	case uri == artifactScheme || uri == artifactScheme+string(batch.JSONLines) || uri == artifactScheme+string(batch.Parquet) || uri == artifactScheme+string(batch.CSV):
		if p.Store == nil {
			return nil, fmt.Errorf("%w: %s: no artifact store is set up", ErrRefused, uri)
		}
		o, err := p.held(job, batch.Format(strings.TrimPrefix(uri, artifactScheme)))
		if err == nil {
			o.store = func(ctx context.Context, r *batch.Result) (string, string, error) { return o.put(ctx, p.Store, r) }
		}
		return o, err
	}
	return p.local(uri)
}

func (p Places) local(path string) (*Output, error) {
	format, unsaid := batch.FormatOf(path)
	if p.Anywhere {
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() || strings.HasSuffix(path, string(filepath.Separator)) {
			return nil, fmt.Errorf("output: %w: %s is no file", ErrRefused, path)
		}
		root, err := os.OpenRoot(filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("output: %w", err)
		}
		return &Output{Folder: root, Name: filepath.Base(path), Format: format, NoFormat: unsaid}, nil
	}
	if p.Root == nil {
		return nil, fmt.Errorf("output: %w: %s: %s", ErrRefused, path, noFolder)
	}
	name, err := p.below(path)
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	root, err := p.Root.OpenRoot(".")
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	if info, err := root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("output: %w: %s is no file", ErrRefused, path), root.Close())
	}
	if info, err := root.Stat(filepath.Dir(name)); err != nil || !info.IsDir() {
		return nil, errors.Join(fmt.Errorf("output: %w: the folder of %s is not there", ErrRefused, path), root.Close())
	}
	return &Output{Folder: root, Name: name, Format: format, NoFormat: unsaid}, nil
}

// held opens a folder for an output on its way to a store.
func (p Places) held(job string, f batch.Format) (*Output, error) {
	sum := sha256.Sum256([]byte(job))
	dir := filepath.Join(p.Scratch, "output-"+hex.EncodeToString(sum[:16]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("output: make scratch folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	if f == "" {
		f = batch.CSV
	}
	return &Output{Folder: root, Name: "out", Hold: true, Format: f, remove: dir}, nil
}

// Store brings an output that is whole to where it belongs, and returns the names of it and of the list of its faulty rows. For a local file there is nothing
// to do. Done a second time, it has the same effect.
func (o *Output) Store(ctx context.Context, uri string, r *batch.Result) (output, faults string, err error) {
	if o.store == nil {
		if r.Faults != "" {
			faults = uri + batch.FaultsSuffix
		}
		return uri, faults, nil
	}
	output, faults, err = o.store(ctx, r)
	if err != nil {
		return "", "", fmt.Errorf("store output: %w", err)
	}
	return output, faults, o.Abandon()
}

// Abandon removes what is kept for a job that will never be done. Of a local file it leaves what is there.
func (o *Output) Abandon() error {
	if o.remove == "" {
		return nil
	}
	return os.RemoveAll(o.remove)
}

// Close gives the folder up. What was begun stays.
func (o *Output) Close() error { return o.Folder.Close() }

// parts calls fn with the output and, if there is one, the list of faulty rows.
func (o *Output) parts(r *batch.Result, fn func(f *os.File, size int64, faults bool) error) error {
	for _, faults := range []bool{true, false} { // the output last: who sees it finds the list
		if faults && r.Faults == "" {
			continue
		}
		f, err := o.Folder.Open(batch.Held(o.Name, faults))
		if err != nil { // another worker may have stored and removed it: that is no word about the job, as fs.ErrNotExist would be
			return fmt.Errorf("what was written is gone: %s", err)
		}
		info, err := f.Stat()
		if err == nil {
			err = fn(f, info.Size(), faults)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (o *Output) upload(ctx context.Context, cfg s3.Config, uri string, r *batch.Result) (output, list string, err error) {
	err = o.parts(r, func(f *os.File, size int64, faults bool) error {
		to := cfg
		if faults {
			to.Prefix += batch.FaultsSuffix
			list = uri + batch.FaultsSuffix
		}
		return s3.PutObject(ctx, to, f, size)
	})
	return uri, list, err
}

func (o *Output) put(ctx context.Context, store artifact.Store, r *batch.Result) (output, list string, err error) {
	err = o.parts(r, func(f *os.File, _ int64, faults bool) error {
		ref, err := store.Put(ctx, f)
		if faults {
			list = string(ref.Digest)
		} else {
			output = string(ref.Digest)
		}
		return err
	})
	return output, list, err
}
