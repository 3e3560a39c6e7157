package tune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Key is what the trials of a journal depend on. Two runs with equal keys make the same trials.
type Key struct {
	Format  int    `json:"tune"`    // of the journal and of the way to search
	Spec    string `json:"spec"`    // digest
	Dataset string `json:"dataset"` // fingerprint
	Metric  string `json:"metric"`  // what chooses
	Outer   int    `json:"outer"`
	Inner   int    `json:"inner"`
	Seed    uint64 `json:"seed"`
	Space   Space  `json:"space"`
}

// format is of what this version of the package writes and how it searches.
const format = 2

// NewKey returns a key with the present format.
func NewKey(k Key) Key {
	k.Format = format
	return k
}

// Entry is one finished piece of work: a trial, or a judgement on an outer fold.
type Entry struct {
	Arm   int                `json:"arm"` // the outer fold that was left out; the number of outer folds for the arm of all rows
	Trial int                `json:"trial"`
	Point map[string]float64 `json:"point"`
	// Loss is what chooses among the trials of an arm; nil for a judgement, and for a trial that failed.
	Loss *float64 `json:"loss,omitempty"`
	// Figures are what else the trial's inner folds said, or, for a judgement, what the outer fold did.
	Figures map[string]float64 `json:"figures,omitempty"`
	Judged  bool               `json:"judged,omitempty"` // a judgement
	Failed  string             `json:"failed,omitempty"` // why a trial has no loss
	Seconds float64            `json:"seconds"`          // what it took
}

// Journal is an append-only file of entries. It is not safe for concurrent use.
type Journal struct {
	file *os.File
	lock *flock.Flock
}

// KeyError says that a journal is of another search.
type KeyError struct {
	Path string
	Have Key // what the journal was written for
	Want Key // what is asked for
}

// Error names the first difference.
func (e *KeyError) Error() string {
	what, have, want := "its format", any(e.Have.Format), any(e.Want.Format)
	switch {
	case e.Have.Format != e.Want.Format:
	case e.Have.Dataset != e.Want.Dataset:
		what, have, want = "the data", e.Have.Dataset, e.Want.Dataset
	case e.Have.Spec != e.Want.Spec:
		what, have, want = "the spec", e.Have.Spec, e.Want.Spec
	default:
		what, have, want = "the settings", fmt.Sprintf("%+v", e.Have), fmt.Sprintf("%+v", e.Want)
	}
	return fmt.Sprintf("%s holds the trials of another search: %s was %v and is %v; go on with another --state, or remove it", e.Path, what, have, want)
}

// OpenJournal opens or creates the journal at path and returns what it holds. A last line that is not a whole entry is cut off; any other
// damage is an error that names the line, a journal of another key is a *KeyError, and any other file is an error: nothing is changed then. The
// file is locked against other processes until Close.
func OpenJournal(path string, key Key) (*Journal, []Entry, error) {
	lock := flock.New(path + ".lock")
	if got, err := lock.TryLock(); err != nil {
		return nil, nil, fmt.Errorf("lock %s: %w", path, err)
	} else if !got {
		return nil, nil, fmt.Errorf("%s is in use by another process", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Unlock())
	}
	j := &Journal{file: f, lock: lock}
	entries, err := j.begin(path, key)
	if err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	return j, entries, nil
}

// begin reads what is there and leaves the file ready for the next line.
func (j *Journal) begin(path string, key Key) ([]Entry, error) {
	data, err := io.ReadAll(j.file)
	if err != nil {
		return nil, err
	}
	entries, whole, err := readJournal(path, data, key)
	if err != nil {
		return nil, err
	}
	if err := j.file.Truncate(int64(whole)); err != nil {
		return nil, err
	}
	if _, err := j.file.Seek(int64(whole), io.SeekStart); err != nil {
		return nil, err
	}
	if whole > 0 {
		return entries, nil
	}
	if err := j.write(key); err != nil {
		return nil, err
	}
	folder, err := os.Open(filepath.Dir(path)) // a new file is durable only with its name
	if err != nil {
		return nil, err
	}
	return nil, errors.Join(folder.Sync(), folder.Close())
}

// readJournal returns the entries and how many bytes of the data are whole lines.
func readJournal(path string, data []byte, key Key) (entries []Entry, whole int, err error) {
	for number := 1; whole < len(data); number++ {
		line, _, ended := bytes.Cut(data[whole:], []byte("\n"))
		last := !ended || whole+len(line)+1 == len(data)
		var fault error
		if number == 1 {
			var have Key
			if fault = strict(line, &have); fault == nil && have.Format == 0 {
				fault = errors.New("it has no format")
			}
			if a, b := fmt.Sprintf("%+v", have), fmt.Sprintf("%+v", key); fault == nil && a != b {
				return nil, 0, &KeyError{Path: path, Have: have, Want: key}
			}
		} else {
			var e Entry
			if fault = strict(line, &e); fault == nil && ended {
				entries = append(entries, e)
			}
		}
		switch {
		case number == 1 && (ended && fault != nil || !ended && !begins(line, key)):
			return nil, 0, fmt.Errorf("%s is no journal of a search: its first line is not what one begins with", path)
		case (fault != nil || !ended) && last:
			return entries, whole, nil // cut off
		case fault != nil:
			return nil, 0, fmt.Errorf("%s: line %d is damaged, and it is not the last one: %w", path, number, fault)
		}
		whole += len(line) + 1
	}
	return entries, whole, nil
}

// begins reports whether an unfinished first line is what a kill left of the journal's own: any other file is not ours to cut.
func begins(line []byte, key Key) bool {
	whole, err := json.Marshal(key)
	return err == nil && bytes.HasPrefix(whole, line)
}

func strict(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the value")
	}
	return nil
}

// Append writes an entry and returns once it is on disk.
func (j *Journal) Append(e Entry) error { return j.write(e) }

func (j *Journal) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return err
	}
	return j.file.Sync()
}

// Close releases the file. The lock's own file stays, empty: removing it could let two processes in.
func (j *Journal) Close() error { return errors.Join(j.file.Close(), j.lock.Unlock()) }
