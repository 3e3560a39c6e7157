package batch

import (
	"errors"
	"fmt"
	"strconv"

	"telco-churn-mlops/model/dataset"
)

// tooMany is the error of a block that has more faulty rows than are tolerated. It names the first that is one too many.
func (w *writer) tooMany(t *task) error {
	left := w.job.MaxFaults - w.out.state.Faulty
	var last int64
	for _, f := range t.rows.Faults {
		if f.Row != last {
			last = f.Row
			left--
		}
		if left < 0 {
			w.place(&f)
			return fmt.Errorf("%w: more than %d, the last is %s", ErrFaults, w.job.MaxFaults, f)
		}
	}
	return ErrFaults
}

// place turns a block's row and line into the file's.
func (w *writer) place(f *dataset.Fault) {
	f.Row += w.out.state.Rows
	if f.Line > 0 {
		f.Line += w.out.state.Lines + w.job.lines()
	}
}

// located is an error of a block's content with the rows and lines of the file.
func (w *writer) located(err error) error {
	var data *dataset.DataError
	if !errors.As(err, &data) {
		return err
	}
	moved := *data
	moved.Faults = append([]dataset.Fault(nil), data.Faults...)
	for i := range moved.Faults {
		w.place(&moved.Faults[i])
	}
	return &moved
}

// faults encodes a block's faults as lines of the list; the first ones begin it with a header.
func (w *writer) faults(faults []dataset.Fault) []byte {
	w.buf = w.buf[:0]
	if w.out.state.Faults == 0 {
		w.buf = append(w.buf, "row,line,column,rule,value,message\n"...)
	}
	for _, f := range faults {
		w.place(&f)
		w.buf = append(strconv.AppendInt(w.buf, f.Row, 10), ',')
		if f.Line > 0 {
			w.buf = strconv.AppendInt(w.buf, f.Line, 10)
		}
		for _, text := range []string{f.Column, f.Rule, f.Value, f.Message} {
			w.buf = appendCSV(append(w.buf, ','), text)
		}
		w.buf = append(w.buf, '\n')
	}
	return w.buf
}
