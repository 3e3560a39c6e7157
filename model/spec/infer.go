package spec

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// InferOptions say what Infer can't see in the data. Target is required.
type InferOptions struct {
	Name      string // of the model; "" = from Path
	Path      string // of the file, kept as given in the spec
	Target    string // column to predict
	ID        string // id column; "" = a digest of the row is the id
	Positive  string // the target's positive value; "" = the one that says yes
	Delimiter string // "" = the one of , ; tab | that the first line holds most of
	MaxLevels int    // of a categorical column; 0 = DefaultMaxLevels
}

const (
	// exactIDs is up to how many rows it is known for sure whether ids repeat, at 8 bytes a row.
	exactIDs = 5_000_000
	// sniffBytes is how much of the start is looked at for the delimiter.
	sniffBytes = 64 << 10
)

// Infer reads a CSV file once, in bounded memory, and writes a spec for it. The notes say, in whole sentences for the
// person who asked, what was decided and why.
//
//   - A column is numeric where at least 98 % of its values are finite numbers, the rest being typing errors whose rows
//     training quarantines, and there are more than two of them. Two-valued columns, and digits with leading zeros, which
//     are codes, are categorical.
//   - Constant and empty columns, dates, numbers written with a comma, and text of which nearly every value is another are
//     ignored, as is a column that is named like an id and unique, where it is not the id.
//   - The target has exactly two values. The positive one is Positive, or the only one of the two that says yes: Yes, 1,
//     True, churned and the like. Where that does not decide, the error names the values.
//   - Gates ask for a ROC-AUC of 0.5 and no F1, as nothing is known about how hard the problem is. Drift of a numeric
//     column and a loss of performance retrain; drift of categories and of the score is reported.
//
// Errors name the columns or values that were seen.
func Infer(r io.Reader, o InferOptions) (*Spec, []string, error) {
	scan, err := scanCSV(r, &o)
	if err != nil {
		return nil, nil, fmt.Errorf("infer spec: %w", err)
	}
	b := builder{options: o, scan: scan, spec: Default()}
	if err := b.build(); err != nil {
		return nil, nil, fmt.Errorf("infer spec: %w", err)
	}
	b.spec.Complete()
	if err := b.spec.Validate(); err != nil {
		return nil, nil, fmt.Errorf("infer spec: %w", err)
	}
	return b.spec, b.notes, nil
}

// scanned is what one pass over a file has seen.
type scanned struct {
	columns    []*column
	rows       int64 // with the header's number of values
	badRows    int64 // with another number, or quotes that are no CSV
	firstBad   string
	ids        []uint64 // hashes of the id column, up to exactIDs
	delimiter  string
	duplicates []string
	nameless   int
}

func (s *scanned) column(name string) *column {
	for _, c := range s.columns {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (s *scanned) names() string {
	names := make([]string, 0, len(s.columns))
	for _, c := range s.columns {
		if c.name != "" {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}

func scanCSV(r io.Reader, o *InferOptions) (*scanned, error) {
	b := bufio.NewReaderSize(r, sniffBytes)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	start, err := b.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(strings.TrimSpace(string(start))) == 0 {
		return nil, errors.New("the file is empty")
	}
	if what := NotText(start); what != "" {
		return nil, fmt.Errorf("the file is %s", what)
	}
	s := &scanned{delimiter: o.Delimiter}
	if s.delimiter == "" {
		s.delimiter = sniff(start)
	}
	c := csv.NewReader(b)
	c.Comma, _ = utf8.DecodeRuneInString(s.delimiter)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	header, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if err := s.header(header, o); err != nil {
		return nil, err
	}
	if err := s.read(c, o.ID); err != nil {
		return nil, err
	}
	if s.rows == 0 {
		if s.badRows > 0 {
			return nil, fmt.Errorf("no row can be read: %s", s.firstBad)
		}
		return nil, errors.New("the file has a header and no rows")
	}
	return s, nil
}

// NotText names the usual files that are taken for CSV, by their first bytes, and says what to do: "a zip archive or an Excel workbook; save
// it as CSV". It returns "" for what may be text. Four bytes are enough.
func NotText(start []byte) string {
	for _, f := range []struct{ magic, name string }{
		{"\xff\xfe", "UTF-16 text; save it as UTF-8"},
		{"\xfe\xff", "UTF-16 text; save it as UTF-8"},
		{"\x1f\x8b", "compressed with gzip; unpack it"},
		{"PK\x03\x04", "a zip archive or an Excel workbook; save it as CSV"},
		{"PAR1", "a Parquet file; save it as CSV"},
	} {
		if strings.HasPrefix(string(start[:min(len(start), 4)]), f.magic) {
			return f.name
		}
	}
	return ""
}

// sniff returns the separator that the first line holds most of outside quotes, a comma where there is none.
func sniff(start []byte) string {
	counts := map[byte]int{}
	quoted := false
	for _, c := range strings.TrimLeft(string(start), "\r\n") {
		if c == '\n' && !quoted {
			break
		}
		switch c {
		case '"':
			quoted = !quoted
		case ',', ';', '\t', '|':
			if !quoted {
				counts[byte(c)]++
			}
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return string(best)
}

// header makes the columns and checks that the options name some of them.
func (s *scanned) header(names []string, o *InferOptions) error {
	seen := map[string]bool{}
	for _, raw := range names {
		name := cleanText(raw)
		if seen[name] && name != "" {
			s.duplicates = append(s.duplicates, name)
			s.column(name).twice = true
		}
		if name == "" {
			s.nameless++
		}
		c := newColumn(name)
		c.twice = seen[name]
		s.columns = append(s.columns, c)
		seen[name] = true
	}
	o.Target, o.ID = cleanText(o.Target), cleanText(o.ID)
	switch {
	case o.Target == "":
		return fmt.Errorf("name the column to predict; there are: %s", s.names())
	case !seen[o.Target]:
		return fmt.Errorf("there is no target column %q; there are: %s", cut(o.Target), s.names())
	case o.ID != "" && !seen[o.ID]:
		return fmt.Errorf("there is no id column %q; there are: %s", cut(o.ID), s.names())
	case o.ID == o.Target:
		return fmt.Errorf("column %q can't be both target and id", cut(o.ID))
	}
	for _, name := range []string{o.Target, o.ID} {
		if slices.Contains(s.duplicates, name) && name != "" {
			return fmt.Errorf("column %q is there more than once", cut(name))
		}
	}
	return nil
}

func (s *scanned) read(c *csv.Reader, id string) error {
	for {
		record, err := c.Read()
		var syntax *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &syntax) && syntax.Line > syntax.StartLine:
			return fmt.Errorf("line %d: a quote is opened that is not closed properly up to line %d", syntax.StartLine, syntax.Line)
		case errors.As(err, &syntax):
			s.bad("line %d: %s", syntax.Line, syntax.Err)
			continue
		case err != nil:
			return fmt.Errorf("read row %d: %w", s.rows+s.badRows+1, err)
		}
		if len(record) != len(s.columns) {
			line, _ := c.FieldPos(0)
			s.bad("line %d has %d values, the header %d", line, len(record), len(s.columns))
			continue
		}
		s.rows++
		for i, raw := range record {
			text := cleanText(raw)
			col := s.columns[i]
			col.observe(text, s.rows)
			if id != "" && col.name == id && text != "" && len(s.ids) < exactIDs {
				s.ids = append(s.ids, xxhash.Sum64String(text))
			}
		}
	}
}

func (s *scanned) bad(format string, args ...any) {
	if s.badRows == 0 {
		s.firstBad = fmt.Sprintf(format, args...)
	}
	s.badRows++
}

// repeatedIDs returns how many ids were there before, among the first exactIDs.
func (s *scanned) repeatedIDs() int {
	slices.Sort(s.ids)
	n := 0
	for i := 1; i < len(s.ids); i++ {
		if s.ids[i] == s.ids[i-1] {
			n++
		}
	}
	return n
}

// cleanText trims a value and makes it valid UTF-8.
func cleanText(s string) string { return strings.TrimSpace(strings.ToValidUTF8(s, "\ufffd")) }

var notName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// nameOf makes a model's name of a file's: customers-2026 of "data/Customers 2026.csv" in lower case, "model" of nothing.
func nameOf(file string) string {
	base := path.Base(strings.ReplaceAll(file, `\`, "/"))
	base = strings.TrimSuffix(base, path.Ext(base))
	name := strings.Trim(notName.ReplaceAllString(strings.ToLower(base), "-"), "-_")
	if len(name) > maxName/2 {
		name = name[:maxName/2]
	}
	if name == "" {
		return "model"
	}
	return name
}
