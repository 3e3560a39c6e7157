package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const (
	// DefaultKeep is how many faults and warnings a report keeps.
	DefaultKeep = 20
	// earlyRows is how many rows must be seen before too large a share of faulty ones ends the reading.
	earlyRows = 1000
	// contextEvery is how many rows are read between two looks at the context.
	contextEvery = 1024
)

// LoadOptions say how a file is loaded.
type LoadOptions struct {
	ReaderOptions
	MaxQuarantined float64 // the share of faulty rows that is tolerated; 0 = none
	Keep           int     // faults and warnings kept in the report; 0 = DefaultKeep
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

// Load reads a whole file into a table. Faulty rows are quarantined: left out and reported. It fails with a *DataError
// where the header is wrong, no row is usable, or more than MaxQuarantined of the rows are faulty, for which it does not
// read on once 1,000 rows are seen. The report is there with the error as well, and covers what was read.
func Load(ctx context.Context, r io.Reader, h *Schema, o LoadOptions) (*Table, *Report, error) {
	report := &Report{FaultCounts: map[string]int64{}, WarningCounts: map[string]int64{}, keep: o.Keep}
	if report.keep == 0 {
		report.keep = DefaultKeep
	}
	reader, err := NewReader(r, h, o.ReaderOptions)
	if err != nil {
		var data *DataError
		if errors.As(err, &data) {
			report.addFaults(data.Faults)
		}
		return nil, report, err
	}
	report.addWarnings(reader.Warnings())
	t := NewTable(h)
	if err := fill(ctx, t, report, reader, o.MaxQuarantined); err != nil {
		return nil, report, err
	}
	if err := report.quarantine(o.MaxQuarantined, 0); err != nil {
		return nil, report, err
	}
	if report.Rows == 0 {
		return nil, report, &DataError{Message: "the file has no rows"}
	}
	if t.Len() == 0 {
		return nil, report, &DataError{Message: fmt.Sprintf("none of the %d rows can be used", report.Rows), Faults: report.Faults}
	}
	if h.id != "" {
		report.DuplicateIDs = duplicates(t.ids)
	}
	report.Success = true
	return t, report, nil
}

func fill(ctx context.Context, t *Table, report *Report, reader *Reader, most float64) error {
	row := t.h.NewRow()
	for {
		if report.Rows%contextEvery == 0 && ctx.Err() != nil {
			return fmt.Errorf("load data: %w", context.Cause(ctx))
		}
		err := reader.Next(row)
		var record *RecordError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &record):
			report.Rows++
			report.Quarantined++
			report.addFaults(record.Faults)
			if err := report.quarantine(most, earlyRows); err != nil {
				return err
			}
			continue
		case err != nil:
			var data *DataError
			if errors.As(err, &data) {
				report.addFaults(data.Faults)
			}
			return err
		}
		report.Rows++
		report.addWarnings(reader.RowWarnings())
		switch row.Label {
		case 1:
			report.Positives++
			report.Labelled++
		case 0:
			report.Labelled++
		}
		t.Append(row)
	}
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

func addTo(list *[]Fault, counts map[string]int64, faults []Fault, keep int) {
	for _, f := range faults {
		if len(*list) < keep {
			*list = append(*list, f)
		}
		counts[f.Rule+"/"+f.Column]++
	}
}

// duplicates counts the ids that were there before. It sorts hashes, which needs 8 bytes a row where a set needs 40; that
// two different ids share a hash happens once in 370,000 files of 10 million rows.
func duplicates(ids []string) int64 {
	hashes := make([]uint64, 0, len(ids))
	for _, id := range ids {
		if id != "" {
			hashes = append(hashes, xxhash.Sum64String(id))
		}
	}
	slices.Sort(hashes)
	var n int64
	for i := 1; i < len(hashes); i++ {
		if hashes[i] == hashes[i-1] {
			n++
		}
	}
	return n
}
