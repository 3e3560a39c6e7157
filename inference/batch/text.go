package batch

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// text is a file of CSV or JSON lines. Where its blocks end follows from where the first begins and from the bytes alone, not from how they
// arrive, so that a run that goes on where another ended has the same blocks.
type text struct {
	layout *dataset.Layout
	r      io.ReadCloser
	size   int    // of a block
	length int64  // of the file
	at     int64  // of the file: where rest begins
	rest   []byte // read, and not handed out
	err    error  // of r
}

func openText(j *Job, offset int64) (*text, error) {
	format := spec.FormatCSV
	if j.InputFormat == JSONLines {
		format = spec.FormatJSONL
	}
	start, err := j.Input.Open(0)
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	layout, err := dataset.ReadLayout(start, j.Bundle.Schema, dataset.LayoutOptions{
		Format: format, Delimiter: j.Delimiter, RequireID: !j.RowID, Keep: j.Columns})
	if cerr := start.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("read input: %w", cerr)
	}
	if err != nil {
		return nil, err
	}
	t := &text{layout: layout, size: j.block, length: j.Input.Size(), at: max(offset, layout.Start)}
	j.headerLines = layout.Lines
	if t.r, err = j.Input.Open(t.at); err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	return t, nil
}

func (t *text) Close() error { return t.r.Close() }

// next reads a block: whole rows of at least one, and of no more than the block's size if that holds one.
func (t *text) next() (*task, error) {
	if t.err != nil && len(t.rest) == 0 {
		return nil, t.err
	}
	data := append(fresh(), t.rest...)
	for want := t.size; ; want *= 2 {
		data = t.fill(data, want)
		if t.err != nil && !errors.Is(t.err, io.EOF) {
			return nil, fmt.Errorf("read input: %w", t.err)
		}
		whole, last := t.layout.Whole(data), false
		if t.err != nil && len(data) < want { // the end of the file
			whole, last = len(data), true
		}
		if last && whole == 0 {
			return nil, io.EOF
		}
		if whole > 0 {
			t.rest = append(t.rest[:0], data[whole:]...)
			t.at += int64(whole)
			return &task{data: data[:whole], last: last, end: t.at}, nil
		}
		if len(data) >= dataset.MaxRow {
			return nil, t.layout.TooLong(data, 0, 0)
		}
	}
}

// fill reads until there are so many bytes, or no more.
func (t *text) fill(data []byte, want int) []byte {
	data = slices.Grow(data, max(want-len(data), 0))
	for empty := 0; len(data) < want && t.err == nil; {
		var n int
		n, t.err = t.r.Read(data[len(data):want])
		data = data[:len(data)+n]
		if n > 0 {
			empty = 0
		} else if empty++; empty == 100 && t.err == nil {
			t.err = io.ErrNoProgress
		}
	}
	if t.err != io.EOF && errors.Is(t.err, io.EOF) { // a store's "connection lost: EOF" is no end of the file
		t.err = fmt.Errorf("%s", t.err)
	}
	return data
}

func (t *text) total() int64 { return t.length }

func (t *text) decoder() (decoder, error) { return &textDecoder{t.layout.Parser()}, nil }

type textDecoder struct{ p *dataset.RowParser }

func (d *textDecoder) decode(t *task) (*dataset.Rows, error) { return d.p.Parse(t.data, t.last), nil }

func (d *textDecoder) Close() error { return nil }
