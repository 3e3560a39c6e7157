package batch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/explain"
)

// Format is the format of a file of records or scores.
type Format string

const (
	CSV       Format = "csv"
	JSONLines Format = "jsonl"
	Parquet   Format = "parquet"
)

// FormatOf returns the format that a file's name stands for: that of .csv, .jsonl, .ndjson, .json, .parquet or .pq, and CSV where it has no extension. Any
// other is an error that wraps [ErrInvalid].
func FormatOf(name string) (Format, error) {
	switch ending := strings.ToLower(filepath.Ext(name)); ending {
	case "", ".csv":
		return CSV, nil
	case ".jsonl", ".ndjson", ".json":
		return JSONLines, nil
	case ".parquet", ".pq":
		return Parquet, nil
	default:
		return "", fmt.Errorf("%w: the name %q says no format: it ends in %s, and not in .csv, .jsonl, .ndjson, .json or .parquet", ErrInvalid, filepath.Base(name), ending)
	}
}

// Validate reports an unknown format.
func (f Format) Validate() error {
	switch f {
	case CSV, JSONLines, Parquet:
		return nil
	}
	return fmt.Errorf("format %q: want csv, jsonl or parquet", string(f))
}

// Defaults of Job.
const (
	DefaultReasons    = 3
	DefaultCheckpoint = time.Second
	// AnyFaults as MaxFaults has the work go on whatever the number of faulty rows.
	AnyFaults = -1
)

// Source is a file of records. It must not change while it is read, and says so with another identity if it did.
type Source interface {
	// Open returns a reader of the file from an offset. The caller closes it.
	Open(offset int64) (io.ReadCloser, error)
	// ReadAt reads at any place, from several goroutines at once; only Parquet needs it.
	io.ReaderAt
	Size() int64
	// Identity names this very content: size and time of change of a file, or what a store calls it.
	Identity() string
	// Check returns an error if the content is no longer the one that Identity names.
	Check() error
	// Is reports whether the content is in this file.
	Is(os.FileInfo) bool
}

// Job says what to score. Bundle, Version, Input, Folder and Output are required; the zero value of the rest is usable but for MaxFaults, whose
// zero tolerates no faulty row.
type Job struct {
	Bundle  *model.Bundle // verified
	Version int           // that the output names, 0 for a bundle without one
	Input   Source
	// InputFormat and OutputFormat are CSV where empty.
	InputFormat, OutputFormat Format
	// Delimiter of CSV input; 0 is a comma. CSV output has commas.
	Delimiter rune
	// Folder holds the output, which is a name in it, or a path that doesn't leave it.
	Folder *os.Root
	Output string
	// Columns of the input are copied to the output as text, beside the id.
	Columns []string
	// RowID has the number of the row stand for its id; without it a file that lacks the id column is refused.
	RowID bool
	// Explain adds the greatest reasons of each score, Reasons of them; 0 is DefaultReasons.
	Explain bool
	Reasons int
	// MaxFaults is how many faulty rows are tolerated; AnyFaults is any number.
	MaxFaults int64
	// Force replaces an output that is there, and begins anew where a checkpoint is of other work.
	Force bool
	// Key, if set, names the work: a checkpoint of another one, even on the same input, is of other work.
	Key string
	// Hold leaves the files of a work that is done under the names that Held gives, with the checkpoint, so that a second run finds it done. It is for
	// an output that goes to a store: whoever brought it there removes them.
	Hold bool
	// Threads that decode and score; 0 is all processors.
	Threads int
	// CheckpointEvery is the least time between two checkpoints; 0 is DefaultCheckpoint. A Parquet output has one with each row group at most.
	CheckpointEvery time.Duration
	// Progress, if set, is called now and then by the goroutine that called Run.
	Progress func(Progress)

	block       int   // bytes of text, or rows of Parquet, that are decoded at once
	groupRows   int   // of Parquet output: a row group ends with the block that brings it to so many
	headerLines int64 // of the input
	reportEvery time.Duration
}

// Progress says how far the work is.
type Progress struct {
	// Done and Total are bytes of text, or rows of Parquet.
	Done, Total  int64
	Rows, Faulty int64
	// Resumed are the rows that an earlier run had read.
	Resumed int64
}

// Result says what was done.
type Result struct {
	Rows     int64  `json:"rows"`     // records read
	Scored   int64  `json:"scored"`   // rows of the output
	Faulty   int64  `json:"faulty"`   // records left out
	Warnings int64  `json:"warnings"` // rows with values outside their bounds or closed sets
	Resumed  int64  `json:"resumed"`  // records that an earlier run had read
	Version  int    `json:"version"`
	Bundle   string `json:"-"` // digest of the bundle's manifest
	Output   string `json:"output"`
	Size     int64  `json:"size"`             // of the output in bytes
	Digest   string `json:"output_digest"`    // "sha256:" and hexadecimal digits
	Faults   string `json:"faults,omitempty"` // the file that lists the faulty rows
}

var (
	// ErrExists says that the output, or a list of faulty rows of its name, is there and is not of this work. It was not changed.
	ErrExists = errors.New("the output exists")
	// ErrOther says that the checkpoint beside the output is of other work: another input, bundle or options, or that the file of that name is no checkpoint at
	// all. Nothing was changed.
	ErrOther = errors.New("the checkpoint is of other work")
	// ErrBusy says that another process is writing the output.
	ErrBusy = errors.New("another process is writing the output")
	// ErrFaults says that more rows are faulty than are tolerated. What was done stays, so that a run that tolerates more goes on.
	ErrFaults = errors.New("too many faulty rows")
	// ErrInvalid says that a Job can't be done as it stands.
	ErrInvalid = errors.New("not a valid job")
	// ErrChanged says that the input changed while it was read.
	ErrChanged = errors.New("the input changed while it was read")
)

// Names beside the output.
const (
	FaultsSuffix     = ".faults.csv"
	partialSuffix    = ".partial"
	partFaultsSuffix = ".partial.faults"
	checkpointSuffix = ".checkpoint"
)

// Held returns the name under which an output, or the list of its faulty rows, is held back: see Job.Hold.
func Held(output string, faults bool) string {
	if faults {
		return output + partFaultsSuffix
	}
	return output + partialSuffix
}

// The columns that every output has, in their order; those that are copied stand behind the id.
const (
	columnID          = "id"
	columnProbability = "churn_probability"
	columnLabel       = "label"
	columnVersion     = "version"
	columnReasons     = "reasons"
)

func (j *Job) complete() error {
	switch {
	case j.Bundle == nil || j.Input == nil || j.Folder == nil || j.Output == "":
		return errors.New("bundle, input, folder and output are required")
	case j.Version < 0 || j.Reasons < 0 || j.Threads < 0 || j.MaxFaults < AnyFaults || j.CheckpointEvery < 0:
		return errors.New("a number is negative")
	}
	j.InputFormat, j.OutputFormat = orCSV(j.InputFormat), orCSV(j.OutputFormat)
	if err := errors.Join(j.InputFormat.Validate(), j.OutputFormat.Validate()); err != nil {
		return err
	}
	for i, name := range j.Columns {
		if slices.Contains([]string{columnID, columnProbability, columnLabel, columnVersion, columnReasons}, name) || slices.Contains(j.Columns[:i], name) {
			return fmt.Errorf("column %q can't be copied: the output has one of this name", name)
		}
		if name == "" {
			return errors.New("a column to copy has no name")
		}
	}
	if j.Explain {
		if _, err := explain.New(j.Bundle); err != nil {
			return err
		}
	}
	if j.Reasons == 0 {
		j.Reasons = DefaultReasons
	}
	if j.CheckpointEvery == 0 {
		j.CheckpointEvery = DefaultCheckpoint
	}
	if j.reportEvery == 0 {
		j.reportEvery = 100 * time.Millisecond
	}
	if j.block == 0 {
		j.block = textBlock
		if j.InputFormat == Parquet {
			j.block = parquetBlock
		}
	}
	if j.groupRows == 0 {
		j.groupRows = parquetGroup
	}
	return nil
}

func orCSV(f Format) Format {
	if f == "" {
		return CSV
	}
	return f
}

const (
	// textBlock is how much text is decoded at once: a few thousand rows, which with all that comes of them fit a second-level cache.
	textBlock = 256 << 10
	// parquetBlock is how many rows of Parquet are decoded at once.
	parquetBlock = 16 << 10
	// parquetGroup is about how many rows a row group of the output has.
	parquetGroup = 128 << 10
)

// apart refuses an input that is one of the files that the work writes, replaces or removes.
func (j *Job) apart() error {
	for _, suffix := range []string{"", FaultsSuffix, partialSuffix, partFaultsSuffix, checkpointSuffix} {
		if info, err := j.Folder.Stat(j.Output + suffix); err == nil && j.Input.Is(info) {
			return fmt.Errorf("the input is the file %s, which the output would take the place of", j.Output+suffix)
		}
	}
	return nil
}

// header returns the names of the output's columns.
func (j *Job) header() []string {
	names := append([]string{columnID}, j.Columns...)
	names = append(names, columnProbability, columnLabel, columnVersion)
	if j.Explain {
		names = append(names, columnReasons)
	}
	return names
}

// File is a local file as a Source.
type File struct {
	f        *os.File
	size     int64
	identity string
}

var _ Source = (*File)(nil)

// NewFile makes a Source of an open file, which the caller closes afterwards. It fails on what is no regular file.
func NewFile(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at input: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("input %s: not a regular file", f.Name())
	}
	return &File{f: f, size: info.Size(), identity: identityOf(info)}, nil
}

func identityOf(info os.FileInfo) string {
	return fmt.Sprintf("file of %d bytes changed at %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
}

// Open returns a reader of the file from an offset.
func (f *File) Open(offset int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(f.f, offset, max(f.size-offset, 0))), nil
}

// ReadAt reads at any place.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Size returns the size of the file when it was opened, in bytes.
func (f *File) Size() int64 { return f.size }

// Identity is size and time of change.
func (f *File) Identity() string { return f.identity }

// Check compares them with what they are now.
func (f *File) Check() error {
	info, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("look at input: %w", err)
	}
	if now := identityOf(info); now != f.identity {
		return fmt.Errorf("%w: it was a %s, and is a %s", ErrChanged, f.identity, now)
	}
	return nil
}

// Is compares by the system's number of the file, whatever it is called.
func (f *File) Is(info os.FileInfo) bool {
	own, err := f.f.Stat()
	return err == nil && os.SameFile(own, info)
}

// lines returns how many lines of the input come before its rows.
func (j *Job) lines() int64 { return j.headerLines }
