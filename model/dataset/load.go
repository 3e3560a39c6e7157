package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"
)

const (
	// DefaultKeep is how many faults and warnings a report keeps.
	DefaultKeep = 20
	// OtherNames stands in a report's counts for the names of unknown or doubled columns beyond the first hundred.
	OtherNames = "(others)"
	// earlyRows is how many rows must be seen before too large a share of faulty ones ends the reading.
	earlyRows = 1000
)

// LoadOptions say how a file is loaded.
type LoadOptions struct {
	ReaderOptions
	MaxQuarantined float64 // the share of faulty rows that is tolerated; 0 = none
	Keep           int     // faults and warnings kept in the report; 0 = DefaultKeep
	Threads        int     // goroutines that parse CSV; 0 = all processors
	size           int     // bytes of a block; 0 = blockSize
}

// Report says what was found in a file. It is complete in itself: a person who reads its JSON needs nothing else.
type Report struct {
	Rows          int64               `json:"rows"`          // data rows read, the faulty ones included
	Quarantined   int64               `json:"quarantined"`   // rows left out because of faults
	Positives     int64               `json:"positives"`     // rows kept whose label is the positive one
	Labelled      int64               `json:"labelled"`      // rows kept that have a label
	DuplicateIDs  int64               `json:"duplicate_ids"` // rows kept whose id was there before; 0 without an id column
	Faults        []Fault             `json:"faults,omitempty"`
	FaultCounts   map[string]int64    `json:"fault_counts,omitempty"` // by "rule/column"
	Warnings      []Fault             `json:"warnings,omitempty"`
	WarningCounts map[string]int64    `json:"warning_counts,omitempty"` // by "rule/column"
	Expectations  []ExpectationResult `json:"expectations,omitempty"`
	Success       bool                `json:"success"` // the data may be used
	keep          int
}

// QuarantinedShare returns the share of faulty rows, 0 for no rows.
func (r *Report) QuarantinedShare() float64 {
	if r.Rows == 0 {
		return 0
	}
	return float64(r.Quarantined) / float64(r.Rows)
}

// Load reads a whole file into a table, CSV on several goroutines. Faulty rows are quarantined: left out and reported. It fails with a
// *DataError where the header is wrong, no row is usable, or more than MaxQuarantined of the rows are faulty, for which it does not
// read on once 1,000 rows are seen. The report is there with the error as well, and covers what was read. Table and report are the same
// whatever the number of goroutines.
func Load(ctx context.Context, r io.Reader, h *Schema, o LoadOptions) (*Table, *Report, error) {
	t := NewTable(h)
	report, err := stream(ctx, r, h, o, func(p *part) (*part, error) { return p, nil }, func(p *part) error {
		t.join(p.table, p.known)
		return nil
	})
	if err != nil {
		return nil, report, err
	}
	return t, report, nil
}

// Stream reads a file as Load does, and hands out its good rows as tables of some thousand rows each instead of one table, so that a
// file of any size takes little memory: per goroutine a few hundred KiB of text, what the rows of it take, and the different words of
// each categorical column up to 65,536 of them or 1 MiB, about 16 MiB at most, behind which they are forgotten and learnt again; and 8
// bytes per row where the spec has an id column, to find ids that are there twice.
//
// work is called for each table, by several goroutines at once and in no order. It may keep the table, but must not append to it; the
// codes of its words are its own. join is called with what work returned, in the order of the file, by the goroutine that called Stream.
// An error of either ends the reading. Rows of a file that fails later were handed out before.
func Stream[T any](ctx context.Context, r io.Reader, h *Schema, o LoadOptions, work func(*Table) (T, error), join func(T) error) (*Report, error) {
	return stream(ctx, r, h, o, func(p *part) (T, error) { return work(p.table) }, join)
}

// stream is Stream with all that is known of a part.
func stream[T any](ctx context.Context, r io.Reader, h *Schema, o LoadOptions, work func(*part) (T, error), join func(T) error) (*Report, error) {
	report := &Report{FaultCounts: map[string]int64{}, WarningCounts: map[string]int64{}, keep: o.Keep}
	if report.keep == 0 {
		report.keep = DefaultKeep
	}
	if o.size == 0 {
		o.size = blockSize
	}
	reader, err := newReader(r, h, o.ReaderOptions, o.size, false)
	if err != nil {
		var data *DataError
		if errors.As(err, &data) {
			report.addFaults(data.Faults)
		}
		return report, err
	}
	report.addWarnings(reader.Warnings())
	l := loading{report: report, most: o.MaxQuarantined, hasID: h.id != ""}
	if csv, ok := reader.source.(*csvSource); ok {
		err = parallelParts(ctx, csv, o, &l, work, join)
	} else {
		err = serialParts(ctx, reader, &l, work, join)
	}
	if err != nil {
		return report, err
	}
	return report, l.finish()
}

// loading is a report in the making.
type loading struct {
	report *Report
	most   float64 // share of faulty rows that is tolerated
	hasID  bool
	lines  int64 // before the next part
	good   int64
	hashes []uint64
}

// take adds a part to the report, row by row as far as it matters.
func (l *loading) take(p *part) error {
	r := l.report
	labels := p.table.labels
	rows, faulty := r.Rows, int64(0)
	count := func(good int64) {
		for _, label := range labels[:good] {
			if label != labelNone {
				r.Labelled++
			}
			if label == labelPositive {
				r.Positives++
			}
		}
		labels = labels[good:]
		l.good += good
	}
	counted := int64(0)
	for _, e := range p.events {
		place(e.faults, rows, l.lines)
		place(e.warnings, rows, l.lines)
		if e.faults == nil {
			r.addWarnings(e.warnings)
			continue
		}
		before := e.row - 1 - faulty - counted
		count(before)
		counted += before
		faulty++
		r.Rows, r.Quarantined = rows+e.row, r.Quarantined+1
		r.addFaults(e.faults)
		if err := r.quarantine(l.most, earlyRows); err != nil {
			return err
		}
	}
	count(int64(len(labels)))
	r.Rows = rows + p.rows
	if p.fatal != nil {
		err := p.fatal.dataError(r.Rows+1, l.lines)
		r.addFaults(err.Faults)
		return err
	}
	l.lines += p.lines
	l.hashes = append(l.hashes, p.hashes...)
	return nil
}

// place turns a part's rows and lines into the file's.
func place(faults []Fault, rows, lines int64) {
	for i := range faults {
		faults[i].Row += rows
		faults[i].Line += lines + 1
	}
}

// finish says whether the whole is usable.
func (l *loading) finish() error {
	r := l.report
	if err := r.quarantine(l.most, 0); err != nil {
		return err
	}
	if r.Rows == 0 {
		return &DataError{Message: "the file has no rows"}
	}
	if l.good == 0 {
		return &DataError{Message: fmt.Sprintf("none of the %d rows can be used", r.Rows), Faults: r.Faults}
	}
	if l.hasID {
		r.DuplicateIDs = duplicates(l.hashes)
	}
	r.Success = true
	return nil
}

// serialParts reads what is no CSV row by row.
func serialParts[T any](ctx context.Context, reader *Reader, l *loading, work func(*part) (T, error), join func(T) error) error {
	h := reader.h
	row, vocab := h.NewRow(), newVocabularies(h)
	for {
		p := &part{table: NewTable(h), known: translations(vocab)}
		err := readPart(reader, row, p, vocab)
		if err != nil && !errors.Is(err, io.EOF) {
			if taken := l.take(p); taken != nil {
				return taken
			}
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("load data: %w", context.Cause(ctx))
		}
		made, failed := work(p)
		if failed != nil {
			return failed
		}
		if failed := l.take(p); failed != nil {
			return failed
		}
		if failed := join(made); failed != nil {
			return failed
		}
		if err != nil {
			return nil
		}
	}
}

// partRows is how many rows of a file that is no CSV make a part.
const partRows = 1024

func readPart(reader *Reader, row *Row, p *part, vocab []vocabulary) error {
	defer p.hashIDs()
	for p.rows < partRows {
		err := reader.Next(row)
		var record *RecordError
		if err != nil && !errors.As(err, &record) {
			return err
		}
		p.rows++
		switch {
		case record != nil:
			p.events = append(p.events, event{row: p.rows, faults: within(record.Faults, row.Number-p.rows)})
			continue
		case reader.RowWarnings() != nil:
			p.events = append(p.events, event{row: p.rows, warnings: within(reader.RowWarnings(), row.Number-p.rows)})
		}
		p.appendRow(row, vocab)
	}
	return nil
}

// within counts rows from the start of a part, and lines from 0, as take wants them.
func within(faults []Fault, rows int64) []Fault {
	place(faults, -rows, -2)
	return faults
}

// quarantine fails where at least atLeast rows were read and more than the share most of them are faulty.
func (r *Report) quarantine(most float64, atLeast int64) error {
	if r.Rows < atLeast || r.QuarantinedShare() <= most {
		return nil
	}
	return &DataError{
		Message: fmt.Sprintf("%d of %d rows are faulty, more than %g %%", r.Quarantined, r.Rows, percent(most)),
		Faults:  r.Faults,
	}
}

// percent returns a share in percent, rounded for a message.
func percent(share float64) float64 { return math.Round(share*1e5) / 1e3 }

func (r *Report) addFaults(faults []Fault)     { addTo(&r.Faults, r.FaultCounts, faults, r.keep) }
func (r *Report) addWarnings(warnings []Fault) { addTo(&r.Warnings, r.WarningCounts, warnings, r.keep) }

// maxNames bounds the names that a report takes from a file and counts each by itself.
const maxNames = 100

func addTo(list *[]Fault, counts map[string]int64, faults []Fault, keep int) {
	for _, f := range faults {
		if f.Rule == RuleUnknownColumn || f.Rule == RuleDuplicateColumn {
			f.Column = cut(f.Column) // a name from the file, as long as that has it
		}
		if len(*list) < keep {
			*list = append(*list, f)
		}
		counts[countKey(counts, f)]++
	}
}

// countKey returns the key that a fault is counted by: of a name that the spec does not know, OtherNames once there are many.
func countKey(counts map[string]int64, f Fault) string {
	key := f.Rule + "/" + f.Column
	if f.Rule != RuleUnknownColumn && f.Rule != RuleDuplicateColumn || counts[key] > 0 {
		return key
	}
	others := f.Rule + "/" + OtherNames
	if counts[others] > 0 {
		return others
	}
	names := 0
	for k := range counts {
		if strings.HasPrefix(k, f.Rule+"/") {
			names++
		}
	}
	if names >= maxNames {
		return others
	}
	return key
}

// duplicates counts the ids that were there before by their hashes, which it reorders: it puts them into buckets of a few dozen by
// their upper bits and sorts those. Hashes need 8 bytes a row, and as much again here, where a set needs 40; that two different ids
// share a hash happens once in 370,000 files of 10 million rows.
func duplicates(hashes []uint64) int64 {
	width := min(max(bits.Len(uint(len(hashes)))-5, 0), 16)
	ends := make([]int, 1<<width+1)
	for _, h := range hashes {
		ends[h>>(64-width)+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	sorted := make([]uint64, len(hashes))
	for _, h := range hashes {
		at := &ends[h>>(64-width)]
		sorted[*at] = h
		*at++
	}
	var n int64
	from := 0
	for _, to := range ends[:1<<width] {
		bucket := sorted[from:to]
		slices.Sort(bucket)
		for i := 1; i < len(bucket); i++ {
			if bucket[i] == bucket[i-1] {
				n++
			}
		}
		from = to
	}
	return n
}
