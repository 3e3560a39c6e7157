// Package columnar reads the records of a Parquet file in order, and writes Parquet row group by row group, so that a file can be continued. It bounds what a
// file may have, as whoever made it may mean harm. It knows nothing of jobs and their files.
package columnar

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"telco-churn-mlops/model/dataset"
)

// Reader reads a Parquet file. Its pages are decoded in their order by the reading goroutine, each once: to have several decode parts of one row
// group each would have to read all pages before its own in files without a page index, which most writers leave out.
type Reader struct {
	source  *watched
	file    *parquet.File
	parser  *dataset.ColumnParser
	columns []columnReader
	block   int64
	group   int   // the row group that is read
	at      int64 // row within it
	row     int64 // of the file
	open    bool  // the columns stand in the group
}

// columnReader reads one column of the file, page by page.
type columnReader struct {
	name     string
	place    int // among the file's columns, for the parser
	leaf     int
	unsigned bool
	pages    parquet.Pages
	page     parquet.Page
	values   parquet.ValueReader
	buf      []parquet.Value
}

// Open reads the footer of a file and stands before a row. Next will decode so many rows at once. A column that is needed and is not there, or has a type that no record of a request could have, is refused by its name.
func Open(r io.ReaderAt, size int64, schema *dataset.Schema, o dataset.LayoutOptions, block, row int64) (_ *Reader, err error) {
	defer damaged(&err)
	source := &watched{r: r}
	var file *parquet.File
	if err = checkFooter(source, size); err == nil {
		file, err = parquet.OpenFile(source, size, parquet.SkipBloomFilters(true))
	}
	if failed := source.failed(); failed != nil {
		return nil, fmt.Errorf("read input: %w", failed)
	}
	if err != nil {
		return nil, &dataset.DataError{Message: fmt.Sprintf("the file is not valid Parquet: %s", err)}
	}
	c := &Reader{source: source, file: file, block: block, row: row}
	var names []string
	for _, column := range file.Root().Columns() {
		names = append(names, column.Name())
	}
	if c.parser, err = dataset.NewColumnParser(schema, names, o); err != nil {
		return nil, err
	}
	var faults []dataset.Fault
	for i, column := range file.Root().Columns() {
		if !c.parser.Needs(i) {
			continue
		}
		r, err := newColumnReader(column, i)
		if err != nil {
			faults = append(faults, dataset.Fault{Column: column.Name(), Rule: dataset.RuleType, Message: err.Error()})
		}
		c.columns = append(c.columns, r)
	}
	if len(faults) > 0 {
		return nil, &dataset.DataError{Message: "the file has columns that can't be read", Faults: faults}
	}
	for groups := file.RowGroups(); c.group < len(groups) && row >= groups[c.group].NumRows(); c.group++ {
		row -= groups[c.group].NumRows()
	}
	c.at = row
	return c, nil
}

// watched keeps the first error of a source, so that a store that is away is not taken for a damaged file.
type watched struct {
	r   io.ReaderAt
	err atomic.Pointer[error]
}

// ReadAt reads from the source.
func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 { // the file says so, and the source could not but fail
		return 0, errors.New("an offset is negative")
	}
	n, err := w.r.ReadAt(p, off)
	if err != nil && err != io.EOF { // io.ReaderAt gives the bare value at the end
		w.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (w *watched) failed() error {
	if err := w.err.Load(); err != nil {
		return *err
	}
	return nil
}

// damaged turns a panic of the library over a damaged file into an error.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = &dataset.DataError{Message: fmt.Sprintf("the Parquet file is damaged: %v", p)}
	}
}

// newColumnReader refuses what is no single number, text or truth value per row.
func newColumnReader(column *parquet.Column, place int) (columnReader, error) {
	r := columnReader{name: column.Name(), place: place, leaf: column.Index(), buf: make([]parquet.Value, 1024)}
	if !column.Leaf() || column.Repeated() {
		return r, errors.New("it is nested: want one value per row")
	}
	if kind := column.Type().Kind(); kind == parquet.Int96 || kind == parquet.FixedLenByteArray {
		return r, fmt.Errorf("its type is %s: want a number, a text or a boolean", column.Type())
	}
	if l := column.Type().LogicalType(); l != nil && l.Value != nil {
		switch v := l.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType, *format.NullType:
		case *format.IntType:
			r.unsigned = !v.IsSigned
		default:
			return r, fmt.Errorf("its type is %s: want a number, a text or a boolean", l)
		}
		return r, nil
	}
	if t := column.Type().ConvertedType(); t != nil {
		switch *t {
		case deprecated.UTF8, deprecated.Enum, deprecated.Json, deprecated.Int8, deprecated.Int16, deprecated.Int32, deprecated.Int64:
		case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
			r.unsigned = true
		default:
			return r, fmt.Errorf("its type is %s: want a number, a text or a boolean", column.Type())
		}
	}
	return r, nil
}

// Next decodes the next rows, none of another row group, and says how many come before those behind them. Behind the last one it returns io.EOF. Content that can't be
// read is a *dataset.DataError; a source that can't is another error.
func (c *Reader) Next() (rows *dataset.Rows, end int64, err error) {
	defer damaged(&err)
	groups := c.file.RowGroups()
	for c.group < len(groups) && c.at == groups[c.group].NumRows() {
		if err := c.leave(); err != nil {
			return nil, 0, err
		}
		c.group, c.at = c.group+1, 0
	}
	if c.group == len(groups) {
		return nil, 0, io.EOF
	}
	if !c.open {
		if err := c.enter(groups[c.group]); err != nil {
			return nil, 0, err
		}
	}
	n := min(c.block, groups[c.group].NumRows()-c.at)
	c.parser.Begin(int(n))
	for i := range c.columns {
		if err := c.columns[i].read(c.parser, int(n)); err != nil {
			return nil, 0, c.failed(fmt.Errorf("column %q of rows %d to %d: %w", c.columns[i].name, c.row+1, c.row+n, err))
		}
	}
	c.at, c.row = c.at+n, c.row+n
	return c.parser.End(), c.row, nil
}

// failed tells a source that can't be read, which a second try may heal, from content that can't.
func (c *Reader) failed(err error) error {
	if failed := c.source.failed(); failed != nil {
		return fmt.Errorf("read input: %w", failed)
	}
	return &dataset.DataError{Message: fmt.Sprintf("the Parquet file is damaged: %s", err)}
}

// enter opens the columns of a row group at the row where it stands.
func (c *Reader) enter(group parquet.RowGroup) error {
	chunks := group.ColumnChunks()
	for i := range c.columns {
		r := &c.columns[i]
		chunk, ok := chunks[r.leaf].(*parquet.FileColumnChunk)
		if !ok {
			return fmt.Errorf("column %q of row group %d is no part of a file", r.name, c.group)
		}
		r.pages = chunk.PagesFrom(newPages(c.source))
		if c.at > 0 {
			if err := r.pages.SeekToRow(c.at); err != nil {
				return c.failed(fmt.Errorf("row %d of row group %d: %w", c.at, c.group, err))
			}
		}
	}
	c.open = true
	return nil
}

// leave closes them.
func (c *Reader) leave() error {
	var errs []error
	for i := range c.columns {
		r := &c.columns[i]
		r.drop()
		if r.pages != nil {
			errs = append(errs, r.pages.Close())
			r.pages = nil
		}
	}
	c.open = false
	return errors.Join(errs...)
}

// Close gives the columns up. The source is the caller's.
func (c *Reader) Close() error { return c.leave() }

// Total is how many rows the file says to have.
func (c *Reader) Total() int64 { return c.file.NumRows() }

// drop gives the page up, with the memory that values are views of.
func (r *columnReader) drop() {
	if r.page != nil {
		parquet.Release(r.page)
	}
	r.page, r.values = nil, nil
}

// read hands n values to the parser.
func (r *columnReader) read(p *dataset.ColumnParser, n int) error {
	for row := 0; row < n; {
		if r.page == nil {
			var err error
			if r.page, err = r.pages.ReadPage(); err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
			r.values = r.page.Values()
		}
		got, err := r.values.ReadValues(r.buf[:min(len(r.buf), n-row)])
		for i := range r.buf[:got] {
			r.give(p, row, &r.buf[i])
			row++
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil || got == 0 {
			r.drop()
		}
	}
	return nil
}

// give hands one value to the parser.
func (r *columnReader) give(p *dataset.ColumnParser, row int, v *parquet.Value) {
	switch v.Kind() {
	case parquet.Boolean:
		p.Truth(r.place, row, v.Boolean())
	case parquet.Int32:
		if r.unsigned {
			p.Integer(r.place, row, int64(v.Uint32()))
		} else {
			p.Integer(r.place, row, int64(v.Int32()))
		}
	case parquet.Int64:
		if u := v.Uint64(); r.unsigned && u > math.MaxInt64 {
			p.Text(r.place, row, strconv.AppendUint(nil, u, 10))
		} else {
			p.Integer(r.place, row, v.Int64())
		}
	case parquet.Float:
		p.Number(r.place, row, float64(v.Float()))
	case parquet.Double:
		p.Number(r.place, row, v.Double())
	case parquet.ByteArray:
		p.Text(r.place, row, v.ByteArray())
	default:
		p.Null(r.place)
	}
}
