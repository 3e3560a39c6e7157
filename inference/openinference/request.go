package openinference

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// request is what of an infer request's body matters here. Slices are views of the body.
type request struct {
	id              string
	inputs          []input
	outputs         []string // nil: the default ones
	explain, strict bool
}

// input is a tensor before its data is looked at.
type input struct {
	name, datatype string
	dims           [2]uint64 // the first two of the shape
	rank           int
	columns        []string // parameter
	contentType    string   // parameter
	data           []byte
}

// Bounds that the protocol itself does not set.
const (
	maxInputs  = 10_000
	maxOutputs = 100
	maxColumns = 10_000 // of one tensor
)

// bad is a request that can't be understood.
func bad(format string, args ...any) *Error {
	return &Error{Code: http.StatusBadRequest, Text: fmt.Sprintf(format, args...)}
}

// parseRequest reads a body. Its error is an [*Error]. Fields that it doesn't know are ignored; of one that is there twice the last counts.
func parseRequest(body []byte) (*request, error) {
	s := &scanner{data: body}
	if s.peek() != '{' {
		return nil, bad("want a JSON object with \"inputs\"")
	}
	rq, hasInputs := &request{}, false
	err := s.object(func(key string) (err error) {
		switch key {
		case "id":
			rq.id, err = s.field("id")
		case "parameters":
			err = s.requestParameters(rq)
		case "inputs":
			rq.inputs, hasInputs = nil, true
			err = s.elements("inputs", maxInputs, func() error { return s.input(rq) })
		case "outputs":
			rq.outputs = nil
			err = s.elements("outputs", maxOutputs, func() error { return s.output(rq) })
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	var refused *Error
	switch {
	case errors.As(err, &refused):
		return nil, refused
	case err != nil:
		return nil, bad("%s", err)
	case !hasInputs || len(rq.inputs) == 0:
		return nil, bad("there are no inputs")
	}
	return rq, nil
}

// field reads a string that is the value of a field.
func (s *scanner) field(name string) (string, error) {
	raw, k, err := s.value()
	if err != nil {
		return "", err
	}
	if k != kindString {
		return "", bad("%s must be a string, got %.40s", name, raw)
	}
	return unquote(raw)
}

// elements reads a list of at most so many objects.
func (s *scanner) elements(name string, most int, each func() error) error {
	if s.peek() != '[' {
		return s.expected(bad("%s must be a list", name))
	}
	n := 0
	return s.array(func() error {
		if n++; n > most {
			return bad("%s are more than %d", name, most)
		}
		if s.peek() != '{' {
			return s.expected(bad("%s: element %d must be an object", name, n-1))
		}
		return each()
	})
}

// expected is the error for a value of another kind, or that there is no value any more.
func (s *scanner) expected(e *Error) error {
	if s.pos >= len(s.data) {
		return s.fail("want a value")
	}
	return e
}

// parameters reads an object of parameters; null is none.
func (s *scanner) parameters(of string, each func(key string) error) error {
	if s.peek() == '{' {
		return s.object(each)
	}
	_, k, err := s.value()
	if err == nil && k != kindNull {
		err = bad("the parameters of %s must be an object", of)
	}
	return err
}

func (s *scanner) requestParameters(rq *request) error {
	return s.parameters("the request", func(key string) (err error) {
		switch key {
		case "explain":
			rq.explain, err = s.truth(key)
		case "strict":
			rq.strict, err = s.truth(key)
		default:
			err = s.skip()
		}
		return err
	})
}

func (s *scanner) truth(name string) (bool, error) {
	raw, k, err := s.value()
	if err == nil && k != kindBool {
		err = bad("the parameter %s must be true or false, got %.40s", name, raw)
	}
	return err == nil && raw[0] == 't', err
}

func (s *scanner) output(rq *request) error {
	name := ""
	err := s.object(func(key string) (err error) {
		if key != "name" {
			return s.skip()
		}
		name, err = s.field("the name of an output")
		return err
	})
	if err == nil && name == "" {
		err = bad("outputs: element %d has no name", len(rq.outputs))
	}
	rq.outputs = append(rq.outputs, name)
	return err
}

// input reads one of the inputs; what is missing of it is an error.
func (s *scanner) input(rq *request) error {
	var in input
	hasShape := false
	err := s.object(func(key string) (err error) {
		switch key {
		case "name":
			in.name, err = s.field("the name of an input")
		case "datatype":
			in.datatype, err = s.field("the datatype of an input")
		case "shape":
			hasShape, err = true, s.shape(&in)
		case "parameters":
			err = s.inputParameters(&in)
		case "data":
			var k kind
			in.data, k, err = s.value()
			if err == nil && k != kindArray {
				err = bad("input %d: data must be a list, got %.40s", len(rq.inputs), in.data)
			}
		default:
			err = s.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case in.name == "":
		return bad("inputs: element %d has no name", len(rq.inputs))
	case in.datatype == "":
		return bad("input %.60q has no datatype", in.name)
	case !hasShape:
		return bad("input %.60q has no shape", in.name)
	case in.data == nil:
		return bad("input %.60q has no data; binary data is not taken", in.name)
	}
	rq.inputs = append(rq.inputs, in)
	return nil
}

func (s *scanner) shape(in *input) error {
	if s.peek() != '[' {
		return bad("the shape of an input must be a list of whole numbers")
	}
	in.rank = 0
	return s.array(func() error {
		raw, _, err := s.value()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(raw), 10, 64)
		if err != nil {
			return bad("the shape of an input must be a list of whole numbers, got %.40s", raw)
		}
		if in.rank < len(in.dims) {
			in.dims[in.rank] = n
		}
		in.rank++
		return nil
	})
}

func (s *scanner) inputParameters(in *input) error {
	return s.parameters("an input", func(key string) (err error) {
		switch key {
		case "content_type":
			in.contentType, err = s.field(key)
		case "columns":
			err = s.columns(in)
		default:
			err = s.skip()
		}
		return err
	})
}

// columns reads the names of a tensor's columns: a list of strings, or, as a parameter of the protocol is a single value, a text with commas or one
// that holds such a list.
func (s *scanner) columns(in *input) error {
	in.columns = nil
	add := func(s *scanner) func() error {
		return func() error {
			name, err := s.field("each of the columns")
			if in.columns = append(in.columns, name); err == nil && len(in.columns) > maxColumns {
				err = bad("columns are more than %d", maxColumns)
			}
			return err
		}
	}
	if s.peek() == '[' {
		return s.array(add(s))
	}
	text, err := s.field("the parameter columns")
	if err != nil {
		return err
	}
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") {
		inner := &scanner{data: []byte(text)}
		if err := inner.array(add(inner)); err != nil {
			return err
		}
		return inner.end()
	}
	if strings.Count(text, ",") >= maxColumns {
		return bad("columns are more than %d", maxColumns)
	}
	for name := range strings.SplitSeq(text, ",") {
		in.columns = append(in.columns, strings.TrimSpace(name))
	}
	return nil
}
