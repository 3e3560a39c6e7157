package batch

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// output is the partial files of a work and its log.
type output struct {
	job     *Job
	journal *journal
	out     *os.File
	faults  *os.File
	sum     hash.Hash
	state   state
	groups  [][]byte // of a Parquet output, in order
	resumed int64
}

// openOutput begins the work or finds where it stands.
func openOutput(ctx context.Context, j *Job) (o *output, err error) {
	log, err := openJournal(j.Folder, j.Output)
	if err != nil {
		return nil, err
	}
	o = &output{job: j, journal: log, sum: sha256.New()}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	w, states, err := log.read()
	if err != nil && (!j.Force || !errors.Is(err, ErrOther)) {
		return o, err
	}
	if w != nil {
		err := o.resume(ctx, w, states)
		if err == nil && !o.state.Done {
			err = o.free("", FaultsSuffix)
		}
		if err == nil || !j.Force || !errors.Is(err, ErrOther) {
			return o, err
		}
	}
	if err := o.free("", FaultsSuffix); err != nil {
		if w == nil {
			err = errors.Join(err, log.remove()) // it is the one that was just made
		}
		return o, err
	}
	return o, o.begin()
}

// free returns ErrExists if there is a file, of the output's name and one of these suffixes, that may not be replaced.
func (o *output) free(suffixes ...string) error {
	for _, suffix := range suffixes {
		if _, err := o.job.Folder.Lstat(o.job.Output + suffix); err == nil && !o.job.Force {
			return fmt.Errorf("%w: %s", ErrExists, o.job.Output+suffix)
		}
	}
	return nil
}

// begin starts with empty files.
func (o *output) begin() (err error) {
	if err := errors.Join(o.journal.clear(), o.closeFiles()); err != nil {
		return err
	}
	o.sum, o.state, o.groups, o.resumed = sha256.New(), state{}, nil, 0
	if err := o.openFiles(os.O_TRUNC); err != nil {
		return err
	}
	if o.state.Sum, err = o.sum.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return fmt.Errorf("begin output: %w", err)
	}
	return o.journal.append(o.job.work())
}

func (o *output) openFiles(flag int) (err error) {
	f, name := o.job.Folder, o.job.Output
	if o.out, err = f.OpenFile(name+partialSuffix, os.O_RDWR|os.O_CREATE|flag, 0o644); err != nil {
		return fmt.Errorf("open output: %w", err)
	}
	if o.faults, err = f.OpenFile(name+partFaultsSuffix, os.O_RDWR|os.O_CREATE|flag, 0o644); err != nil {
		return fmt.Errorf("open output: %w", err)
	}
	return nil
}

// resume goes on behind the last state. ErrOther says that it can't, and that nothing was changed.
func (o *output) resume(ctx context.Context, w *work, states []state) error {
	if other := w.differs(o.job.work()); other != "" {
		return fmt.Errorf("%w: %s", ErrOther, other)
	}
	for _, s := range states {
		if s.Group != nil {
			o.groups = append(o.groups, s.Group)
		}
		o.state = s
	}
	o.resumed = o.state.Rows
	if o.state.Done {
		return o.proveWhole(ctx)
	}
	if err := o.openFiles(0); err != nil {
		return err
	}
	if err := o.prove(ctx, o.out); err != nil {
		return err
	}
	parts := []struct {
		f    *os.File
		size int64
	}{{o.out, o.state.Output}, {o.faults, o.state.Faults}}
	for _, part := range parts {
		info, err := part.f.Stat()
		if err != nil {
			return fmt.Errorf("look at output: %w", err)
		}
		if info.Size() < part.size {
			return fmt.Errorf("%w: %s has %d bytes, the checkpoint says %d: something else changed it", ErrOther, part.f.Name(), info.Size(), part.size)
		}
	}
	for _, part := range parts {
		if err := part.f.Truncate(part.size); err != nil {
			return fmt.Errorf("cut output: %w", err)
		}
		if _, err := part.f.Seek(part.size, io.SeekStart); err != nil {
			return fmt.Errorf("cut output: %w", err)
		}
	}
	if o.state.Sum == nil { // killed before the first checkpoint
		return nil
	}
	if err := o.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(o.state.Sum); err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	return nil
}

// prove reads what the log says of a file: the bytes of then, or ErrOther. The digest of the output is that of the file only if they are.
func (o *output) prove(ctx context.Context, f *os.File) error {
	if o.state.Sum == nil { // killed before the first checkpoint
		return nil
	}
	sum := sha256.New()
	_, err := io.Copy(sum, stopping{ctx, io.NewSectionReader(f, 0, o.state.Output)})
	if err != nil {
		return fmt.Errorf("read output: %w", err)
	}
	want, err := o.state.digest()
	if err != nil {
		return err
	}
	if "sha256:"+hex.EncodeToString(sum.Sum(nil)) != want {
		return fmt.Errorf("%w: %s does not begin with the %d bytes that the checkpoint says: something else changed it", ErrOther, f.Name(), o.state.Output)
	}
	return nil
}

// proveWhole does so with an output that the log says is done. It may have its name already.
func (o *output) proveWhole(ctx context.Context) error {
	root, name := o.job.Folder, o.job.Output
	f, err := root.Open(name + partialSuffix)
	if errors.Is(err, fs.ErrNotExist) && !o.job.Hold {
		f, err = root.Open(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it says that %s is done, and the file is not there", ErrOther, name)
	}
	if err != nil {
		return fmt.Errorf("open output: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != o.state.Output {
		err = fmt.Errorf("%w: %s has %d bytes, the checkpoint says %d: something else changed it", ErrOther, f.Name(), info.Size(), o.state.Output)
	}
	if err == nil {
		err = o.prove(ctx, f)
	}
	return errors.Join(err, f.Close())
}

// stopping is a reader that ends with a context.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

// Read reads, or returns why the context ended.
func (s stopping) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

// write appends to the output.
func (o *output) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := o.out.Write(p); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	o.sum.Write(p)
	o.state.Output += int64(len(p))
	return nil
}

// writeFaults appends to the list of faults.
func (o *output) writeFaults(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := o.faults.Write(p); err != nil {
		return fmt.Errorf("write faults: %w", err)
	}
	o.state.Faults += int64(len(p))
	return nil
}

// checkpoint forces the files to the disk and then says so in the log.
func (o *output) checkpoint(group []byte, done bool) (err error) {
	if err := errors.Join(o.out.Sync(), o.faults.Sync()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	if o.state.Sum, err = o.sum.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	o.state.Group, o.state.Done = group, done
	if group != nil {
		o.groups = append(o.groups, group)
	}
	return o.journal.append(o.state)
}

// finish gives the files their names, the output last but for the log, and removes that. It may have been begun before.
func (o *output) finish() error {
	f, name := o.job.Folder, o.job.Output
	if _, err := f.Lstat(name + partialSuffix); err == nil { // else the output has its name already
		if err := o.free(""); err != nil {
			return err
		}
	}
	var err error
	if o.state.Faulty > 0 {
		err = f.Rename(name+partFaultsSuffix, name+FaultsSuffix)
	} else {
		err = errors.Join(gone(f.Remove(name+partFaultsSuffix)), gone(f.Remove(name+FaultsSuffix)))
	}
	if err := gone(err); err != nil {
		return fmt.Errorf("name faults: %w", err)
	}
	if err := gone(f.Rename(name+partialSuffix, name)); err != nil {
		return fmt.Errorf("name output: %w", err)
	}
	if err := syncFolder(f, filepath.Dir(name)); err != nil {
		return err
	}
	return o.journal.remove()
}

// gone passes over a file that is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncFolder forces the names in a folder to the disk.
func syncFolder(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return fmt.Errorf("name output: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("name output: %w", err)
	}
	return nil
}

// close gives up the files and the lock. What was not checkpointed is cut by the next run.
func (o *output) close() error { return errors.Join(o.closeFiles(), o.journal.close()) }

func (o *output) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{o.out, o.faults} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	o.out, o.faults = nil, nil
	return errors.Join(errs...)
}

// result says what was done.
func (o *output) result() (*Result, error) {
	digest, err := o.state.digest()
	if err != nil {
		return nil, err
	}
	s := &o.state
	r := &Result{Rows: s.Rows, Scored: s.Scored, Faulty: s.Faulty, Warnings: s.Warnings, Resumed: o.resumed, Version: o.job.Version,
		Bundle: o.job.Bundle.Manifest.Digest, Output: o.job.Output, Size: s.Output, Digest: digest}
	if s.Faulty > 0 {
		r.Faults = o.job.Output + FaultsSuffix
	}
	return r, nil
}

// discard removes a work that has not begun.
func (o *output) discard() error {
	f, name := o.job.Folder, o.job.Output
	return errors.Join(gone(f.Remove(name+partialSuffix)), gone(f.Remove(name+partFaultsSuffix)), o.journal.remove())
}
