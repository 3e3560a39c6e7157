package openinference

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"telco-churn-mlops/model/dataset"
)

// The datatypes that need a word of their own.
const (
	typeBool   = "BOOL"
	typeInt64  = "INT64"
	typeDouble = "FP64"
	typeBytes  = "BYTES"
)

// datatype says what the elements of a tensor may be.
type datatype struct {
	kind     kind
	bits     int // of a whole number, else 0
	unsigned bool
	most     float64 // of a number that is not whole
}

var datatypes = map[string]datatype{
	typeBool: {kind: kindBool},
	"UINT8":  {kind: kindNumber, bits: 8, unsigned: true}, "UINT16": {kind: kindNumber, bits: 16, unsigned: true},
	"UINT32": {kind: kindNumber, bits: 32, unsigned: true}, "UINT64": {kind: kindNumber, bits: 64, unsigned: true},
	"INT8": {kind: kindNumber, bits: 8}, "INT16": {kind: kindNumber, bits: 16},
	"INT32": {kind: kindNumber, bits: 32}, typeInt64: {kind: kindNumber, bits: 64},
	"FP16": {kind: kindNumber, most: 65504}, "FP32": {kind: kindNumber, most: math.MaxFloat32}, typeDouble: {kind: kindNumber, most: math.Inf(1)},
	typeBytes: {kind: kindString},
}

// tensor is an input with checked shape and elements. It holds those of the columns that are wanted, in row-major order, each as it is written.
type tensor struct {
	name        string
	rows, width int
	wanted      []bool // by column
	kept        int    // columns that are
	elements    [][]byte
}

// parseTensor checks an input against its datatype and shape. Nothing is allocated before the shape is known to be within bounds, and to need no
// more elements than the data can hold. wanted says which columns are, by their number; the elements of the others are checked as well.
func parseTensor(in *input, maxRows int, wanted []bool) (*tensor, error) {
	d, ok := datatypes[in.datatype]
	if !ok {
		return nil, bad("input %.60q: there is no datatype %.40q", in.name, in.datatype)
	}
	if in.rank != 1 && in.rank != 2 {
		return nil, bad("input %.60q: its shape has %d dimensions, want [n] or [n, k]", in.name, in.rank)
	}
	n, width := in.dims[0], uint64(1)
	if in.rank == 2 {
		width = in.dims[1]
	}
	switch {
	case n == 0:
		return nil, bad("input %.60q: its shape has no rows", in.name)
	case n > uint64(maxRows):
		return nil, &Error{Code: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("input %.60q: its shape has %d rows, at most %d are allowed", in.name, n, maxRows)}
	case width > 1 && in.columns == nil:
		return nil, unnamed(in)
	case width != uint64(len(wanted)):
		return nil, bad("input %.60q: its shape has %d columns, want %d", in.name, width, len(wanted))
	case n*width > uint64(len(in.data)):
		return nil, bad("input %.60q: its data has fewer elements than the %d of its shape", in.name, n*width)
	}
	t := &tensor{name: in.name, rows: int(n), width: int(width), wanted: wanted}
	for _, w := range wanted {
		if w {
			t.kept++
		}
	}
	t.elements = make([][]byte, 0, t.rows*t.kept)
	count, err := t.fill(in, d)
	if err != nil {
		return nil, err
	}
	if count != t.rows*t.width {
		return nil, bad("input %.60q: its data has %d elements, its shape %d", in.name, count, t.rows*t.width)
	}
	if in.contentType == "base64" && in.datatype == typeBytes {
		return t, t.decode64()
	}
	return t, nil
}

// fill reads the elements, flat or nested as the shape says, and returns how many there are.
func (t *tensor) fill(in *input, d datatype) (count int, err error) {
	s := &scanner{data: in.data}
	one := func() error {
		raw, k, err := s.value()
		if err != nil {
			return err
		}
		if count == t.rows*t.width {
			return bad("input %.60q: its data has more elements than the %d of its shape", in.name, count)
		}
		if !d.takes(raw, k) {
			return bad("input %.60q: element %d is %.40s, want %s", in.name, count, raw, in.datatype)
		}
		if t.wanted[count%t.width] {
			t.elements = append(t.elements, raw)
		}
		count++
		return nil
	}
	nested, row := false, 0
	err = s.array(func() error {
		if row == 0 {
			nested = s.peek() == '['
		}
		row++
		if !nested {
			return one()
		}
		if in.rank == 1 {
			return bad("input %.60q: its data is nested, its shape has one dimension", in.name)
		}
		before := count
		if s.peek() != '[' {
			return bad("input %.60q: row %d of its data is no list, those before it are", in.name, row-1)
		}
		if err := s.array(one); err != nil {
			return err
		}
		if got := count - before; got != t.width {
			return bad("input %.60q: row %d of its data has %d elements, its shape %d", in.name, row-1, got, t.width)
		}
		return nil
	})
	return count, err
}

// takes reports whether an element is of the type. null, the missing value, is of all. A number of a real type that is none, such as NaN, is left to
// the record's decoder, which names its column.
func (d datatype) takes(raw []byte, k kind) bool {
	switch {
	case k == kindNull:
		return true
	case k == kindOdd:
		return d.most > 0
	case k != d.kind:
		return false
	case d.most > 0:
		v, _ := strconv.ParseFloat(string(raw), 64) // beyond the range it is infinite
		return math.Abs(v) <= d.most
	case d.bits > 0:
		return d.takesWhole(string(raw))
	}
	return true
}

// takesWhole reports whether a number is whole, as 2.0 and 2e3 are, and in the type's range.
func (d datatype) takesWhole(text string) bool {
	if strings.ContainsAny(text, ".eE") {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return false
		}
		text = strconv.FormatFloat(v, 'f', -1, 64)
	}
	var err error
	switch {
	case d.unsigned && text != "-0":
		_, err = strconv.ParseUint(text, 10, d.bits)
	case !d.unsigned:
		_, err = strconv.ParseInt(text, 10, d.bits)
	}
	return err == nil
}

// decode64 replaces the elements of a tensor by the texts that they encode.
func (t *tensor) decode64() error {
	for i, raw := range t.elements {
		if raw[0] != '"' {
			continue // null
		}
		text, err := unquote(raw)
		if err != nil {
			return bad("%s", err)
		}
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return bad("input %.60q: element %d is not valid base64", t.name, i)
		}
		t.elements[i] = dataset.AppendString(nil, string(decoded))
	}
	return nil
}
