package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// work says what a checkpoint is of. Two runs with equal works write equal bytes.
type work struct {
	Format    int      `json:"format"` // of the log: 1
	Key       string   `json:"key,omitempty"`
	Input     string   `json:"input"` // its identity
	InFormat  Format   `json:"input_format"`
	OutFormat Format   `json:"output_format"`
	Delimiter string   `json:"delimiter,omitempty"`
	Version   int      `json:"version"`
	Bundle    string   `json:"bundle"` // digest
	Columns   []string `json:"columns,omitempty"`
	RowID     bool     `json:"row_id,omitempty"`
	Reasons   int      `json:"reasons,omitempty"`
	Block     int      `json:"block"`
	Group     int      `json:"group"`
}

func (j *Job) work() work {
	w := work{Format: 1, Key: j.Key, Input: j.Input.Identity(), InFormat: j.InputFormat, OutFormat: j.OutputFormat, Version: j.Version,
		Bundle: j.Bundle.Manifest.Digest, Columns: j.Columns, RowID: j.RowID, Block: j.block, Group: j.groupRows}
	if j.Delimiter != 0 {
		w.Delimiter = string(j.Delimiter)
	}
	if j.Explain {
		w.Reasons = j.Reasons
	}
	return w
}

// differs names the first thing in which two works differ, "" for none.
func (w work) differs(o work) string {
	switch {
	case w.Format != o.Format:
		return "it is of another version of this program"
	case w.Key != o.Key:
		return "it is of another job"
	case w.Input != o.Input:
		return fmt.Sprintf("its input was a %s, this one is a %s", w.Input, o.Input)
	case w.Bundle != o.Bundle || w.Version != o.Version:
		return fmt.Sprintf("it is by version %d, bundle %.12s, this work by version %d, bundle %.12s", w.Version, w.Bundle, o.Version, o.Bundle)
	}
	a, errA := json.Marshal(w)
	b, errB := json.Marshal(o)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		return "its options differ"
	}
	return ""
}

// state is where the work stands: all before an offset of the input is in the first bytes of the output.
type state struct {
	Offset   int64  `json:"offset"` // byte of text, or row of Parquet
	Rows     int64  `json:"rows"`
	Lines    int64  `json:"lines"`
	Scored   int64  `json:"scored"`
	Faulty   int64  `json:"faulty"`
	Warnings int64  `json:"warnings"`
	Output   int64  `json:"output"` // bytes
	Faults   int64  `json:"faults"` // bytes
	Sum      []byte `json:"sum"`    // of SHA-256 over the output, to go on with
	// Group describes the row group of a Parquet output that this line is about.
	Group []byte `json:"group,omitempty"`
	Done  bool   `json:"done,omitempty"`
}

// result is the digest of the output.
func (s *state) digest() (string, error) {
	sum := sha256.New()
	if err := sum.(interface{ UnmarshalBinary([]byte) error }).UnmarshalBinary(s.Sum); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// journal is the open log of a work, locked.
type journal struct {
	f      *os.File
	folder *os.Root
	name   string
}

// openJournal opens and locks the log beside an output, an empty one if there was none.
func openJournal(folder *os.Root, output string) (*journal, error) {
	name := output + checkpointSuffix
	for {
		f, err := folder.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("open checkpoint: %w", err)
		}
		if err := lock(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		// Whoever held the lock before may have removed the file.
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		there, err := folder.Stat(name)
		if err == nil && os.SameFile(mine, there) {
			return &journal{f, folder, name}, nil
		}
		if cerr := f.Close(); cerr != nil || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open checkpoint: %w", errors.Join(err, cerr))
		}
	}
}

// read returns what the log says: nil for the work of an empty one, and all states that were written whole. A file that no run can have left is ErrOther.
func (j *journal) read() (*work, []state, error) {
	if _, err := j.f.Seek(0, io.SeekStart); err != nil {
		return nil, nil, fmt.Errorf("read checkpoint: %w", err)
	}
	raw, err := io.ReadAll(j.f)
	if err != nil {
		return nil, nil, fmt.Errorf("read checkpoint: %w", err)
	}
	w, states, good := parseJournal(raw)
	if w == nil && !torn(raw) {
		return nil, nil, fmt.Errorf("%w: the file %s is no checkpoint", ErrOther, j.name)
	}
	if err := j.f.Truncate(good); err != nil {
		return nil, nil, fmt.Errorf("cut checkpoint: %w", err)
	}
	if _, err := j.f.Seek(good, io.SeekStart); err != nil {
		return nil, nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return w, states, nil
}

// torn reports whether a log without a whole line is one whose first line was cut off, or never reached the disk.
func torn(raw []byte) bool {
	if len(bytes.Trim(raw, "\x00")) == 0 {
		return true
	}
	const head = len(`00000000 {"format":`)
	for i, c := range raw[:min(len(raw), head)] {
		switch {
		case i < 8 && !strings.ContainsRune("0123456789abcdef", rune(c)), i >= 8 && c != ` {"format":`[i-8]:
			return false
		}
	}
	return true
}

// parseJournal reads lines up to the first that is not whole, and returns how many bytes these are.
func parseJournal(raw []byte) (w *work, states []state, good int64) {
	for {
		line, rest, whole := bytes.Cut(raw, []byte("\n"))
		if !whole || len(line) < 9 || line[8] != ' ' {
			return w, states, good
		}
		sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
		if err != nil || uint32(sum) != crc32.ChecksumIEEE(line[9:]) {
			return w, states, good
		}
		var s state
		switch {
		case w == nil:
			var first work
			if json.Unmarshal(line[9:], &first) != nil {
				return nil, nil, 0
			}
			w = &first
		case json.Unmarshal(line[9:], &s) != nil:
			return w, states, good
		default:
			states = append(states, s)
		}
		good += int64(len(line)) + 1
		raw = rest
	}
}

// append writes a line and forces it to the disk.
func (j *journal) append(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	line := append(fmt.Appendf(nil, "%08x ", crc32.ChecksumIEEE(body)), body...)
	if _, err := j.f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// clear empties the log.
func (j *journal) clear() error {
	if err := j.f.Truncate(0); err != nil {
		return fmt.Errorf("empty checkpoint: %w", err)
	}
	_, err := j.f.Seek(0, io.SeekStart)
	return err
}

// remove ends the log.
func (j *journal) remove() error {
	if err := j.folder.Remove(j.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove checkpoint: %w", err)
	}
	return nil
}

func (j *journal) close() error { return j.f.Close() }

// Pending says by which version an unfinished work beside an output is being done, if it has this key and input; false if there is none. Whoever asks
// for "the Production version" goes on with this one.
func Pending(folder *os.Root, output, key string, in Source) (version int, ok bool) {
	raw, err := folder.ReadFile(output + checkpointSuffix)
	if err != nil {
		return 0, false
	}
	w, _, _ := parseJournal(raw)
	if w == nil || w.Key != key || w.Input != in.Identity() {
		return 0, false
	}
	return w.Version, true
}
