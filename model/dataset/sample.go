package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// sampleBlock is how much text a sample takes at each place: some hundred rows, so that few of the bytes read are those of rows cut in two.
const sampleBlock = 64 << 10

// SampleOptions say which rows of a file are sampled.
type SampleOptions struct {
	ReaderOptions
	Rows int    // how many, about; at least 1
	Seed uint64 // of the places
}

// Sample returns about o.Rows of a file's good rows in the order of the file, read from places all over it without reading the rest:
// the file is divided into as many equal stretches as it takes blocks of 64 KiB to find so many rows, and one block is read at a place
// drawn within each. A file of not much more rows is read whole, and of JSON lines the first rows are taken.
//
// Faulty rows are left out without a word: whoever reads the whole file will report them. A place may lie within a quoted value that holds
// a line end; the block is then left out if its quotes do not match, or its first rows if their number of values does not.
// Rows come in runs as they are in the file, and long rows somewhat more often than short ones, so a sample is for quantiles and
// vocabularies, not for tests. The same file and options give the same rows.
//
// It fails as NewReader does on what is wrong with the header, and with a *DataError if no row of the sample is good.
func Sample(ctx context.Context, r io.ReaderAt, size int64, h *Schema, o SampleOptions) (*Table, error) {
	reader, err := newReader(io.NewSectionReader(r, 0, size), h, o.ReaderOptions, sampleBlock, false)
	if err != nil {
		return nil, err
	}
	t := NewTable(h)
	csv, ok := reader.source.(*csvSource)
	if !ok {
		err = sampleFirst(ctx, reader, t, o.Rows)
	} else {
		err = sampleCSV(ctx, r, size, csv, t, o)
	}
	if err != nil {
		return nil, err
	}
	if t.Len() == 0 {
		return nil, &DataError{Message: "no row of the sample can be used"}
	}
	return t, nil
}

// sampleFirst takes the first good rows.
func sampleFirst(ctx context.Context, reader *Reader, t *Table, rows int) error {
	row := t.h.NewRow()
	for t.Len() < rows {
		if ctx.Err() != nil {
			return fmt.Errorf("sample data: %w", context.Cause(ctx))
		}
		err := reader.Next(row)
		var record *RecordError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &record):
		case err != nil:
			return err
		default:
			t.Append(row)
		}
	}
	return nil
}

func sampleCSV(ctx context.Context, r io.ReaderAt, size int64, csv *csvSource, t *Table, o SampleOptions) error {
	p := csv.parser(o.ReaderOptions)
	first, err := csv.nextBlock()
	if err != nil {
		return fmt.Errorf("sample data: %w", err)
	}
	part := p.parse(first)
	perRow := float64(len(first.data)) / float64(max(part.rows, 1))
	stretches := int64(float64(o.Rows)*perRow)/sampleBlock + 1
	if stretches*sampleBlock >= size/2 {
		for ; err == nil; first, err = csv.nextBlock() {
			if ctx.Err() != nil {
				return fmt.Errorf("sample data: %w", context.Cause(ctx))
			}
			if part = p.parse(first); part.fatal != nil {
				break
			}
			t.join(part.table, part.known)
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errNoEnd) {
			return fmt.Errorf("sample data: %w", err)
		}
		return nil
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x5a3317))
	buf := make([]byte, sampleBlock)
	for i := range stretches {
		if ctx.Err() != nil {
			return fmt.Errorf("sample data: %w", context.Cause(ctx))
		}
		from, to := size*i/stretches, size*(i+1)/stretches
		n, err := r.ReadAt(buf, from+rng.Int64N(max(to-from-sampleBlock, 1)))
		err = failure(err)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("sample data: %w", err)
		}
		data := buf[:n]
		data = data[bytes.IndexByte(data, '\n')+1:]
		whole := ends{comma: csv.blocks.comma}
		data = data[:whole.find(data)]
		if part := p.parse(block{data, false}); part.fatal == nil {
			t.join(part.table, part.known)
		}
	}
	return nil
}
