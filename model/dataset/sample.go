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

// wholeRows is how many rows, about, a block of a sample holds at least, where rows are so long that it takes more than sampleBlock.
const wholeRows = 8

// SampleOptions say which rows of a file are sampled.
type SampleOptions struct {
	ReaderOptions
	Rows int    // how many, about; at least 1
	Seed uint64 // of the places
}

// Sample returns about o.Rows of a file's good rows in the order of the file, read from places all over it without reading the rest:
// the file is divided into as many equal stretches as it takes blocks of 64 KiB to find so many rows, and one block is read at a place
// drawn within each; where rows are long, blocks hold at least eight or so. A file of not much more rows is read whole, and of JSON lines the first rows are taken.
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

// sampler takes rows of a CSV file from places all over it.
type sampler struct {
	r      io.ReaderAt
	length int64 // of the file
	csv    *csvSource
	parser *parser
	t      *Table
	rng    *rand.Rand
}

func sampleCSV(ctx context.Context, r io.ReaderAt, length int64, csv *csvSource, t *Table, o SampleOptions) error {
	s := &sampler{r, length, csv, csv.parser(o.ReaderOptions), t, rand.New(rand.NewPCG(o.Seed, 0x5a3317))}
	first, err := csv.nextBlock()
	if err != nil {
		return fmt.Errorf("sample data: %w", err)
	}
	part := s.parser.parse(first)
	perRow := float64(len(first.data)) / float64(max(part.rows, 1))
	// Where no place holds a whole good row, rows are longer than the first ones: larger blocks are taken, and in the end the whole file.
	for size := max(sampleBlock, wholeRows*int64(perRow)); t.Len() == 0; size *= 4 {
		stretches := int64(float64(o.Rows)*perRow)/size + 1
		if stretches*size >= length/2 {
			return s.whole(ctx, part)
		}
		if err := s.places(ctx, stretches, size); err != nil {
			return err
		}
	}
	return nil
}

// whole takes all rows, of which part holds the first.
func (s *sampler) whole(ctx context.Context, part *part) error {
	var err error
	for err == nil && part.fatal == nil {
		s.t.join(part.table, part.known)
		if ctx.Err() != nil {
			return fmt.Errorf("sample data: %w", context.Cause(ctx))
		}
		var b block
		if b, err = s.csv.nextBlock(); err == nil {
			part = s.parser.parse(b)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errNoEnd) {
		return fmt.Errorf("sample data: %w", err)
	}
	return nil
}

// places takes the rows of a block of some size in each stretch.
func (s *sampler) places(ctx context.Context, stretches, size int64) error {
	buf := make([]byte, size)
	for i := range stretches {
		if ctx.Err() != nil {
			return fmt.Errorf("sample data: %w", context.Cause(ctx))
		}
		from, to := s.length*i/stretches, s.length*(i+1)/stretches
		n, err := s.r.ReadAt(buf, from+s.rng.Int64N(max(to-from-size, 1)))
		err = failure(err)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("sample data: %w", err)
		}
		data := buf[:n]
		data = data[bytes.IndexByte(data, '\n')+1:]
		whole := ends{comma: s.csv.blocks.comma}
		data = data[:whole.find(data)]
		if part := s.parser.parse(block{data, false}); part.fatal == nil {
			s.t.join(part.table, part.known)
		}
	}
	return nil
}
