package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Marshal returns the canonical form: every key in the order of the types, nothing left to a default, no comments. Keys that
// came after the first release carry a tag like omit:"10" and are left out where their value is written so, which is their
// default: a spec that does not use them keeps its bytes and its digest, and older bundles stay readable. Equal specs have
// equal bytes, and Parse returns a valid spec as it was. It fails where s is not valid.
func (s *Spec) Marshal() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s.canonical(), nil
}

// Digest returns "sha256:" and 64 hex digits of the canonical form without Dataset, so that it changes with the model's
// rules and not with the place of a file.
func (s *Spec) Digest() string {
	c := *s
	c.Dataset = Dataset{}
	sum := sha256.Sum256(c.canonical())
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (s *Spec) canonical() []byte {
	var b bytes.Buffer
	writeStruct(&b, reflect.ValueOf(*s), 0)
	return b.Bytes()
}

// writeStruct writes the fields of v, each on its own line, indented by depth steps.
func writeStruct(b *bytes.Buffer, v reflect.Value, depth int) {
	for i := range v.NumField() {
		field := v.Field(i)
		if field.Kind() == reflect.Pointer && field.IsNil() {
			continue
		}
		var value bytes.Buffer
		writeValue(&value, reflect.Indirect(field), depth)
		if omit, ok := v.Type().Field(i).Tag.Lookup("omit"); ok && strings.TrimSpace(value.String()) == omit {
			continue
		}
		b.WriteString(strings.Repeat("  ", depth))
		b.WriteString(v.Type().Field(i).Tag.Get("yaml"))
		b.WriteByte(':')
		b.Write(value.Bytes())
	}
}

func writeValue(b *bytes.Buffer, v reflect.Value, depth int) {
	switch {
	case v.Kind() == reflect.Struct:
		b.WriteByte('\n')
		writeStruct(b, v, depth+1)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && v.Len() > 0:
		b.WriteByte('\n')
		for i := range v.Len() {
			var item bytes.Buffer
			writeStruct(&item, v.Index(i), depth+2)
			dash := strings.Repeat("  ", depth+1) + "- "
			b.WriteString(dash)
			b.Write(item.Bytes()[len(dash):])
		}
	case v.Kind() == reflect.Slice:
		fmt.Fprintf(b, " %s\n", flow(v))
	default:
		fmt.Fprintf(b, " %s\n", scalar(v, false))
	}
}

// flow writes a list of values, or of lists of them, in brackets.
func flow(v reflect.Value) string {
	if v.Kind() != reflect.Slice {
		return scalar(v, true)
	}
	items := make([]string, v.Len())
	for i := range items {
		items[i] = flow(v.Index(i))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// plain matches texts that need no quotes anywhere in YAML. Words that YAML reads as something else are caught apart.
var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./+-]*( [A-Za-z0-9_./+(-][A-Za-z0-9_./+()-]*)*$`)

func scalar(v reflect.Value, flow bool) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case bool, int, uint64:
		return fmt.Sprint(x)
	}
	s := v.String()
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf":
		return quote(s)
	}
	if (flow && strings.ContainsAny(s, "()")) || !plain.MatchString(s) {
		return quote(s)
	}
	return s
}

// quote returns s as a JSON string, which is a YAML double-quoted one.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("spec: encode a string: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}
