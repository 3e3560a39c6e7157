package openinference

import (
	"fmt"
	"slices"
	"strings"

	"telco-churn-mlops/model/dataset"
)

// records are the rows of a request as JSON objects, and what is to be said about its inputs.
type records struct {
	rows     [][]byte
	warnings []string
}

// cells are the values of one column.
type cells struct {
	key    []byte // with the colon
	tensor *tensor
	at     int // among the tensor's kept columns
}

// buildRecords turns the inputs into records of the columns that some held version knows. columns are what the version that is asked for needs.
func buildRecords(rq *request, served *Served, version *Version, maxRows int) (*records, error) {
	known := knownColumns(served)
	if len(rq.inputs) == 1 {
		in := &rq.inputs[0]
		if _, column := known[strings.TrimSpace(in.name)]; !column && in.columns == nil && in.datatype == typeBytes {
			return jsonRecords(in, maxRows)
		}
	}
	out, taken := &records{}, map[string]bool{}
	var columns []cells
	rows := 0
	for i := range rq.inputs {
		in := &rq.inputs[i]
		names, wanted, err := columnsOf(in, known, taken, out)
		if err != nil {
			return nil, err
		}
		t, err := parseTensor(in, maxRows, wanted)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			rows = t.rows
		}
		if t.rows != rows {
			return nil, bad("input %.60q has %d rows, input %.60q has %d", rq.inputs[0].name, rows, in.name, t.rows)
		}
		for at, name := range names {
			columns = append(columns, cells{append(dataset.AppendString(nil, name), ':'), t, at})
		}
	}
	if err := checkMissing(version, taken); err != nil {
		return nil, err
	}
	out.rows = joinColumns(columns, rows)
	return out, nil
}

// knownColumns are the columns that go into a record.
func knownColumns(served *Served) map[string]struct{} {
	known := map[string]struct{}{}
	for _, v := range served.Versions {
		h := v.Bundle.Schema
		for _, names := range [][]string{h.Numeric(), h.Categorical(), {h.ID()}} {
			for _, name := range names {
				known[name] = struct{}{}
			}
		}
	}
	delete(known, "") // of a schema without an id column
	return known
}

// columnsOf returns the known columns of an input, in order, and which of all its columns they are. It warns of the others, which are left out: their
// names are the client's, and a name that is written into every record would be a way to make a small request a large one.
func columnsOf(in *input, known map[string]struct{}, taken map[string]bool, out *records) (names []string, wanted []bool, err error) {
	all := in.columns
	if all == nil {
		if in.rank == 2 && in.dims[1] != 1 {
			return nil, nil, unnamed(in)
		}
		all = []string{in.name}
	}
	wanted = make([]bool, len(all))
	for i, name := range all {
		if _, wanted[i] = known[name]; !wanted[i] {
			name = strings.TrimSpace(name)
			_, wanted[i] = known[name]
		}
		switch {
		case !wanted[i]:
			out.warn(fmt.Sprintf("%.60q: the model has no such column", name))
		case taken[name]:
			return nil, nil, bad("the column %.60q is there twice", name)
		default:
			taken[name] = true
			names = append(names, name)
		}
	}
	return names, wanted, nil
}

// unnamed is the error of a matrix that does not say what its columns are.
func unnamed(in *input) error {
	return bad("input %.60q: its shape has %d columns; name them in its parameter \"columns\", or send one input for each column", in.name, in.dims[1])
}

// maxWarnings bounds what is said about inputs and rows.
const maxWarnings = 50

func (r *records) warn(text string) {
	if len(r.warnings) < maxWarnings {
		r.warnings = append(r.warnings, text)
	}
}

// checkMissing names the columns that the version needs and no input is.
func checkMissing(v *Version, taken map[string]bool) error {
	var missing []string
	for _, c := range v.Bundle.Spec.Columns.Numeric {
		if !c.Optional && !taken[c.Name] {
			missing = append(missing, c.Name)
		}
	}
	for _, c := range v.Bundle.Spec.Columns.Categorical {
		if !c.Optional && !taken[c.Name] {
			missing = append(missing, c.Name)
		}
	}
	switch n := len(missing); {
	case n == 0:
		return nil
	case n > shownFaults:
		missing = append(missing[:shownFaults], fmt.Sprintf("and %d more", n-shownFaults))
	}
	return bad("no input for the column %s; send null where a value is not known", strings.Join(missing, ", "))
}

// joinColumns writes the rows, all into one buffer of the size that they need.
func joinColumns(columns []cells, rows int) [][]byte {
	size := 0
	for _, c := range columns {
		size += rows * (len(c.key) + 1)
		for row := range rows {
			size += len(c.tensor.elements[row*c.tensor.kept+c.at])
		}
	}
	buf := make([]byte, 0, size+2*rows)
	out := make([][]byte, rows)
	for row := range out {
		start := len(buf)
		buf = append(buf, '{')
		for i, c := range columns {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = append(append(buf, c.key...), c.tensor.elements[row*c.tensor.kept+c.at]...)
		}
		buf = append(buf, '}')
		out[row] = slices.Clip(buf[start:])
	}
	return out
}

// jsonRecords reads an input each element of which is a record.
func jsonRecords(in *input, maxRows int) (*records, error) {
	t, err := parseTensor(in, maxRows, []bool{true})
	if err != nil {
		return nil, err
	}
	out := &records{rows: make([][]byte, t.rows)}
	for i, raw := range t.elements {
		if raw[0] != '"' {
			return nil, bad("input %.60q: element %d is null, want a record", in.name, i)
		}
		text, err := unquote(raw)
		if err != nil {
			return nil, bad("%s", err)
		}
		if text = strings.TrimSpace(text); !strings.HasPrefix(text, "{") {
			return nil, bad("input %.60q names no column of the model, and its element %d is no record as a JSON object: %.40q", in.name, i, text)
		}
		out.rows[i] = []byte(text)
	}
	return out, nil
}
