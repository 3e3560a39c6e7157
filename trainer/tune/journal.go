package tune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
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

// Journal is an append-only file of entries. Each line ends with a checksum of itself and of the one before, so that a line that was edited,
// taken out or moved is seen. It is not safe for concurrent use.
type Journal struct {
	file *os.File
	lock *flock.Flock
	sum  string // of the last line
}

// KeyError says that a journal is of another search.
type KeyError struct {
	Path string
	Have Key // what the journal was written for
	Want Key // what is asked for
}

// Error names the first difference.
func (e *KeyError) Error() string {
	what, have, want := e.difference()
	return fmt.Sprintf("%s holds the trials of another search: %s was %v and is %v; go on with another --state, or remove it", e.Path, what, have, want)
}

func (e *KeyError) difference() (what string, have, want any) {
	a, b := e.Have, e.Want
	for _, d := range []struct {
		what       string
		have, want any
	}{
		{"its format", a.Format, b.Format}, {"the data", a.Dataset, b.Dataset}, {"the spec", a.Spec, b.Spec}, {"the metric that chooses", a.Metric, b.Metric},
		{"the number of outer folds", a.Outer, b.Outer}, {"the number of inner folds", a.Inner, b.Inner}, {"the seed", a.Seed, b.Seed},
		{"the number of parameters", len(a.Space), len(b.Space)},
	} {
		if d.have != d.want {
			return d.what, d.have, d.want
		}
	}
	for i := range a.Space {
		switch x, y := a.Space[i], b.Space[i]; {
		case x.Name != y.Name:
			return fmt.Sprintf("parameter %d", i+1), x.Name, y.Name
		case x != y:
			return "the range of " + x.Name, x.text(), y.text()
		}
	}
	return "nothing", "", "" // equal keys are no error
}

func (d Dim) text() string {
	out := fmt.Sprintf("%v to %v", d.Low, d.High)
	if d.Log {
		out += ", logarithmic"
	}
	if d.Whole {
		out += ", whole"
	}
	return out
}

// OpenJournal opens or creates the journal at path and returns what it holds. A last line that is not a whole entry is cut off; any other
// damage, an edited entry too, is an error that names the line, a journal of another key is a *KeyError, and any other file is an error: nothing is changed then. The
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
	have, err := readJournal(path, data, key)
	if err != nil {
		return nil, err
	}
	if err := j.file.Truncate(int64(have.whole)); err != nil {
		return nil, err
	}
	if _, err := j.file.Seek(int64(have.whole), io.SeekStart); err != nil {
		return nil, err
	}
	if j.sum = have.sum; have.whole > 0 {
		return have.entries, nil
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

// content is what a journal's data hold.
type content struct {
	entries []Entry
	whole   int    // bytes of whole lines
	sum     string // of the last whole line
}

// errSum says that a line is whole, but not as it was written where it is.
var errSum = errors.New("its checksum does not fit: it was edited, or is not where it was written")

// readJournal checks and decodes. A last line that is torn does not count; one that reads well but has another checksum is refused.
func readJournal(path string, data []byte, key Key) (c content, err error) {
	for number := 1; c.whole < len(data); number++ {
		line, _, ended := bytes.Cut(data[c.whole:], []byte("\n"))
		if number == 1 {
			if err := checkKey(path, line, ended, key); err != nil || !ended {
				return content{}, err
			}
			_, c.sum, _ = unseal(line)
			c.whole = len(line) + 1
			continue
		}
		last := !ended || c.whole+len(line)+1 == len(data)
		e, sum, fault := readEntry(line, c.sum)
		switch {
		case !ended, last && fault != nil && !errors.Is(fault, errSum):
			return c, nil // cut off
		case fault != nil:
			return content{}, fmt.Errorf("%s: line %d is damaged: %w", path, number, fault)
		}
		c.entries, c.sum, c.whole = append(c.entries, e), sum, c.whole+len(line)+1
	}
	return c, nil
}

// checkKey checks the first line. One that is not ended must be what a kill left of the journal's own: any other file is not ours to cut.
func checkKey(path string, line []byte, ended bool, key Key) error {
	want, _, err := seal(key, "")
	if err != nil {
		return err
	}
	if bytes.Equal(line, want) || !ended && bytes.HasPrefix(want, line) {
		return nil
	}
	body, sum, ok := unseal(line)
	if !ok {
		body = line // as other formats may have it
	}
	var have Key
	switch fault := strict(body, &have); {
	case fault != nil || have.Format == 0:
		return fmt.Errorf("%s is no journal of a search: its first line is not what one begins with", path)
	case fmt.Sprintf("%+v", have) != fmt.Sprintf("%+v", key):
		return &KeyError{Path: path, Have: have, Want: key}
	case !ok || sum != checksum("", body):
		return fmt.Errorf("%s: line 1 is damaged: %w", path, errSum)
	}
	return fmt.Errorf("%s: line 1 is damaged: it is not written as a search writes it", path)
}

func readEntry(line []byte, before string) (e Entry, sum string, err error) {
	body, sum, ok := unseal(line)
	if !ok {
		return e, "", errors.New("it has no checksum")
	}
	if err := strict(body, &e); err != nil {
		return e, "", err
	}
	if sum != checksum(before, body) {
		return e, "", errSum
	}
	return e, sum, nil
}

// sumKey stands before the checksum, the last value of a line.
const sumKey = `,"sum":"`

// seal returns a value as a line's JSON object with a checksum, of it and the one before.
func seal(v any, before string) (line []byte, sum string, err error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, "", err
	}
	sum = checksum(before, body)
	return append(body[:len(body)-1], sumKey+sum+`"}`...), sum, nil
}

// unseal takes the checksum off a line, unchecked.
func unseal(line []byte) (body []byte, sum string, ok bool) {
	at := len(line) - len(sumKey) - 16 - len(`"}`)
	if at < 1 || !bytes.HasPrefix(line[at:], []byte(sumKey)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return nil, "", false
	}
	return append(bytes.Clone(line[:at]), '}'), string(line[at+len(sumKey) : at+len(sumKey)+16]), true
}

// checksum is XXH64 of the checksum of the line before and the object: it finds accidents and edits, and is no signature.
func checksum(before string, body []byte) string {
	return fmt.Sprintf("%016x", xxhash.Sum64(append([]byte(before), body...)))
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
	line, sum, err := seal(v, j.sum)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return err
	}
	j.sum = sum
	return j.file.Sync()
}

// Close releases the file. The lock's own file stays, empty: removing it could let two processes in.
func (j *Journal) Close() error { return errors.Join(j.file.Close(), j.lock.Unlock()) }
