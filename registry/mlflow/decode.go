package mlflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/registry/fault"
)

// maxBody bounds a JSON body in bytes. It is what MLflow allows a batch, and what NATS takes as one message (1 MiB) unless most of it has to be escaped;
// then the message is refused as a bad argument.
const maxBody = 1_000_000

// integer is a 64-bit integer of the wire: a JSON number, or a string that holds one.
type integer int64

// UnmarshalJSON implements [json.Unmarshaler]. A number may be written with a fraction of zeros or an exponent, as long as it is whole.
func (n *integer) UnmarshalJSON(data []byte) error {
	text := unquote(data)
	if text == "null" {
		return nil
	}
	v, err := parseInteger(text)
	if err != nil {
		return &json.UnmarshalTypeError{Value: cut(string(data)), Type: reflect.TypeFor[int64]()}
	}
	*n = integer(v)
	return nil
}

func parseInteger(text string) (int64, error) {
	v, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		return v, nil
	}
	f, ferr := strconv.ParseFloat(text, 64)
	if ferr != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, err
	}
	return int64(f), nil
}

// double is a 64-bit floating-point number of the wire: a JSON number, a string that holds one, or "NaN", "Infinity", "-Infinity".
type double float64

// UnmarshalJSON implements [json.Unmarshaler].
func (d *double) UnmarshalJSON(data []byte) error {
	text := unquote(data)
	if text == "null" {
		return nil
	}
	switch text {
	case "NaN":
		*d = double(math.NaN())
		return nil
	case "Infinity":
		*d = double(math.Inf(1))
		return nil
	case "-Infinity":
		*d = double(math.Inf(-1))
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return &json.UnmarshalTypeError{Value: cut(string(data)), Type: reflect.TypeFor[float64]()}
	}
	*d = double(v)
	return nil
}

// unquote returns the text of a JSON number, or what is between the quotes of a JSON string. Escapes stay: no number has any.
func unquote(data []byte) string {
	if n := len(data); n >= 2 && data[0] == '"' {
		data = data[1 : n-1]
	}
	return string(data)
}

// decode fills into, a pointer to a struct with JSON tags, with the fields of the call: of a GET the query, or the body if there is no query; of a
// DELETE the body, or the query if there is no body; of the others the body. What is not there stays as it is.
func (c *call) decode(into any) error {
	fromQuery := c.r.URL.RawQuery != "" && (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead)
	if fromQuery {
		return c.decodeQuery(into)
	}
	body, err := c.body(maxBody)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		if c.r.Method == http.MethodDelete {
			return c.decodeQuery(into)
		}
		return nil
	}
	return decodeJSON(body, into)
}

// body reads the request's body, of at most limit bytes.
func (c *call) body(limit int64) ([]byte, error) {
	if c.r.Body == nil || c.r.ContentLength == 0 {
		return nil, nil
	}
	if c.r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	in := http.MaxBytesReader(c.w, c.r.Body, limit)
	if n := c.r.ContentLength; n > 0 {
		body := make([]byte, n)
		_, err := io.ReadFull(in, body)
		return body, bodyFault(err)
	}
	body, err := io.ReadAll(in)
	return body, bodyFault(err)
}

// bodyFault says that a body did not come whole, which is the client's doing.
func bodyFault(err error) error {
	var large *http.MaxBytesError
	if err == nil || errors.As(err, &large) {
		return err
	}
	return &fault.Error{Code: fault.BadRequest, Message: "the request's body did not come whole", Err: err}
}

// decodeStrictly is decode for calls that are ours alone and bring a model to customers: an unknown field is an error, as a misspelled limit would
// be the default's.
func (c *call) decodeStrictly(into any) error {
	body, err := c.body(maxBody)
	if err != nil || len(body) == 0 {
		return err
	}
	if err := decodeJSON(body, into); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil { // the rest was right
		return fault.New(fault.Invalid, "%s", cut(strings.TrimPrefix(err.Error(), "json: ")))
	}
	return nil
}

// decodeJSON decodes one JSON object.
func decodeJSON(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return fault.New(fault.Invalid, "Invalid value for parameter '%s': want %s, got %s", wireName(wrong.Field), kindName(wrong.Type), cut(wrong.Value))
	case errors.As(err, &wrong):
		return fault.New(fault.Invalid, "the request's body must be a JSON object, is %s", cut(wrong.Value))
	default:
		return fault.New(fault.BadRequest, "the request's body is not JSON: %s", cut(err.Error()))
	}
}

// wireName returns the path of a field without the names of embedded structs, which no field of the wire looks like.
func wireName(field string) string {
	parts := slices.DeleteFunc(strings.Split(field, "."), func(p string) bool { return p != strings.ToLower(p) })
	return strings.Join(parts, ".")
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.Int64:
		return "a 64-bit integer"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct:
		return "an object"
	default:
		return "a " + t.Kind().String()
	}
}

// decodeQuery fills a struct from query parameters named as its JSON fields are; of a list also with [] behind. A field that is no list takes the first
// value.
func (c *call) decodeQuery(into any) error {
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.BadRequest, "the query is malformed: %s", cut(err.Error()))
	}
	return fill(reflect.ValueOf(into).Elem(), query)
}

// fill sets the fields of a struct, and those of structs embedded in it.
func fill(v reflect.Value, query url.Values) error {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if v.Type().Field(i).Anonymous {
			if err := fill(v.Field(i), query); err != nil {
				return err
			}
			continue
		}
		values := slices.Concat(query[name], query[name+"[]"])
		if name == "" || len(values) == 0 {
			continue
		}
		if slices.ContainsFunc(values, notUTF8) {
			return fault.New(fault.Invalid, "Invalid value for parameter '%s': it is not UTF-8", name)
		}
		if err := setField(v.Field(i), values); err != nil {
			return fault.New(fault.Invalid, "Invalid value for parameter '%s': want %s, got %q", name, kindName(v.Field(i).Type()), cut(values[0]))
		}
	}
	return nil
}

func notUTF8(s string) bool { return !utf8.ValidString(s) }

var errNoText = errors.New("a field that text can't say")

// setField sets a field from query values.
func setField(f reflect.Value, values []string) error {
	switch f.Kind() {
	case reflect.Pointer:
		f.Set(reflect.New(f.Type().Elem()))
		return setField(f.Elem(), values)
	case reflect.String:
		f.SetString(values[0])
	case reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(values[0]))
		f.SetBool(b)
		return err
	case reflect.Int64:
		n, err := parseInteger(values[0])
		f.SetInt(n)
		return err
	case reflect.Slice:
		if f.Type().Elem().Kind() != reflect.String {
			return errNoText
		}
		list := reflect.MakeSlice(f.Type(), len(values), len(values))
		for i, s := range values {
			list.Index(i).SetString(s)
		}
		f.Set(list)
	default:
		return errNoText
	}
	return nil
}

// required checks fields that a call must have, given as names and values in turn, and names the first that is missing. An empty string is missing.
func required(fields ...string) error {
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" {
			return fault.New(fault.Invalid, "Missing value for required parameter '%s'", fields[i])
		}
	}
	return nil
}

// pageSize returns how many results a search may return: what was asked for, def if nothing was, and an error outside 1 to most.
func pageSize(asked *integer, def, most int) (int, error) {
	if asked == nil {
		return def, nil
	}
	if *asked < 1 || *asked > integer(most) {
		return 0, fault.New(fault.Invalid, "Invalid value %d for parameter 'max_results': it must be between 1 and %d", *asked, most)
	}
	return int(*asked), nil
}
