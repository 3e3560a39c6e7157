package imported

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"telco-churn-mlops/model/dataset"
)

// maxExamples is how many rows of an example are looked at. Golden rows are chosen among them.
const maxExamples = 1_000

// record is a row of an example: its values by column.
type record = map[string]json.RawMessage

// readExample returns the rows of the logged example and the file they stand in.
func readExample(s *source, d *description) (rows []record, file string, err error) {
	data := []byte(d.example)
	file = d.file
	if len(data) == 0 {
		i := slices.IndexFunc(d.examples, s.has)
		if i < 0 {
			return nil, "", refuse(d.file, "no input example was logged: log the model with input_example, as its rows, scored once, are what every instance proves itself by")
		}
		file = d.examples[i]
		if data, err = s.read(file, maxExampleBytes); err != nil {
			return nil, "", err
		}
	}
	rows, err = parseExample(nanAsNull(data), d.columns)
	if err != nil {
		return nil, "", refuse(file, "the input example can't be read: %v", err)
	}
	if len(rows) == 0 {
		return nil, "", refuse(file, "the input example has no rows")
	}
	return rows, file, nil
}

// parseExample reads the forms in which MLflow writes examples: a DataFrame as columns and data, the same within the request of a scoring server,
// a list of records, one record, and lists by column. Values without names are taken in the signature's order.
func parseExample(data []byte, columns []Column) ([]record, error) {
	data = bytes.TrimSpace(data)
	if len(data) > 0 && data[0] == '[' {
		return parseRows(data, nil, columns)
	}
	var top record
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, err
	}
	for _, key := range []string{"dataframe_split", "dataframe_records", "inputs", "instances"} {
		inner, ok := top[key]
		if !ok || named(columns, key) {
			continue
		}
		if trimmed := bytes.TrimSpace(inner); len(trimmed) > 0 && trimmed[0] == '[' {
			return parseRows(trimmed, nil, columns)
		}
		var next record
		if err := json.Unmarshal(inner, &next); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return parseObject(next, columns)
	}
	return parseObject(top, columns)
}

// named reports whether a column has a name.
func named(columns []Column, name string) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return c.Name == name })
}

// parseObject reads a DataFrame of orient split, lists by column, or one record.
func parseObject(top record, columns []Column) ([]record, error) {
	if rows, ok := top["data"]; ok && !named(columns, "data") {
		var names []string
		if list, ok := top["columns"]; ok {
			if err := json.Unmarshal(list, &names); err != nil {
				return nil, fmt.Errorf("columns: %w", err)
			}
		}
		return parseRows(rows, names, columns)
	}
	lists := map[string][]json.RawMessage{}
	length := -1
	for _, c := range columns {
		value := bytes.TrimSpace(top[c.Name])
		if len(value) == 0 || value[0] != '[' {
			continue
		}
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil {
			return nil, fmt.Errorf("column %q: %w", clip(c.Name), err)
		}
		if length >= 0 && len(list) != length {
			return nil, fmt.Errorf("column %q has %d values, another %d", clip(c.Name), len(list), length)
		}
		lists[c.Name], length = list, len(list)
	}
	if length < 0 {
		return []record{top}, nil
	}
	rows := make([]record, min(length, maxExamples))
	for i := range rows {
		rows[i] = record{}
		for name, list := range lists {
			rows[i][name] = list[i]
		}
	}
	return rows, nil
}

// parseRows reads a list of records, or of lists of values whose columns have names; without names they are the signature's.
func parseRows(data []byte, names []string, columns []Column) ([]record, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, err
	}
	if names == nil {
		for _, c := range columns {
			names = append(names, c.Name)
		}
	}
	items = items[:min(len(items), maxExamples)]
	rows := make([]record, 0, len(items))
	for i, item := range items {
		row, err := parseRow(item, names)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func parseRow(item json.RawMessage, names []string) (record, error) {
	item = bytes.TrimSpace(item)
	row := record{}
	if len(item) > 0 && item[0] == '{' {
		err := json.Unmarshal(item, &row)
		return row, err
	}
	var values []json.RawMessage
	if err := json.Unmarshal(item, &values); err != nil {
		return nil, err
	}
	if len(values) != len(names) {
		return nil, fmt.Errorf("%d values for %d columns", len(values), len(names))
	}
	for i, v := range values {
		if _, twice := row[names[i]]; twice {
			return nil, fmt.Errorf("column %q is there twice", clip(names[i]))
		}
		row[names[i]] = v
	}
	return row, nil
}

// table reads the rows as requests are read, so that what an instance would refuse is found now.
func table(sch *dataset.Schema, rows []record, columns []Column) (*dataset.Table, error) {
	t := dataset.NewTable(sch)
	row := sch.NewRow()
	for i, r := range rows {
		known := record{}
		for _, c := range columns {
			if v, ok := r[c.Name]; ok {
				known[c.Name] = v
			}
		}
		if v, ok := r[sch.Target()]; ok {
			known[sch.Target()] = v
		}
		text, err := json.Marshal(known)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		_, err = sch.DecodeJSON(text, row, dataset.DecodeOptions{})
		var faults *dataset.RecordError
		switch {
		case errors.As(err, &faults):
			return nil, fmt.Errorf("row %d: %s", i+1, faults.Faults[0])
		case err != nil:
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		t.Append(row)
	}
	return t, nil
}

// nanAsNull returns JSON with null for the bare word NaN, which Python writes for a missing number.
func nanAsNull(data []byte) []byte {
	if !bytes.Contains(data, []byte("NaN")) {
		return data
	}
	var out strings.Builder
	for i, quoted := 0, false; i < len(data); i++ {
		switch {
		case quoted && data[i] == '\\' && i+1 < len(data):
			out.WriteByte(data[i])
			i++
		case data[i] == '"':
			quoted = !quoted
		case !quoted && bytes.HasPrefix(data[i:], []byte("NaN")):
			out.WriteString("null")
			i += len("NaN") - 1
			continue
		}
		out.WriteByte(data[i])
	}
	return []byte(out.String())
}
