package inference

import (
	"bytes"
	"errors"
	"fmt"
)

const space = " \t\r\n"

// splitRecords appends the records of a body to dst, each a slice of it: the body itself, or the elements of a JSON list. It looks at brackets,
// strings and commas only; whether an element is a record is the decoder's question, so that a token such as NaN inside one record is
// reported with its column and not as a broken list. Errors are a sentence for the client.
func splitRecords(dst [][]byte, body []byte) (records [][]byte, list bool, err error) {
	body = bytes.Trim(body, space)
	if len(body) == 0 {
		return nil, false, errors.New("the body is empty: send one record as a JSON object, or a list of them")
	}
	if body[0] != '[' {
		return append(dst, body), false, nil
	}
	records, end, err := splitList(dst, body)
	if err != nil {
		return nil, true, err
	}
	if rest := bytes.TrimLeft(body[end:], space); len(rest) > 0 {
		return nil, true, fmt.Errorf("there is more after the end of the list: %.20q", rest)
	}
	if len(records) == 0 {
		return nil, true, errors.New("the list is empty: send at least one record")
	}
	return records, true, nil
}

// splitList appends the elements of the list that body starts with to an empty slice, and returns the index after its closing bracket.
func splitList(elements [][]byte, body []byte) (_ [][]byte, end int, err error) {
	depth, start, quoted := 0, 1, false
	cut := func(at int, last bool) error {
		element := bytes.Trim(body[start:at], space)
		start = at + 1
		if len(element) > 0 {
			elements = append(elements, element)
			return nil
		}
		if last && len(elements) == 0 {
			return nil
		}
		return fmt.Errorf("element %d of the list is empty", len(elements))
	}
	for i := 0; i < len(body); i++ {
		c := body[i]
		switch {
		case quoted && c == '\\':
			i++ // the escaped character, be it a quote
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				if c != ']' {
					return nil, 0, errors.New("the list is closed by a brace")
				}
				err = cut(i, true)
				return elements, i + 1, err
			}
		case c == ',' && depth == 1:
			if err := cut(i, false); err != nil {
				return nil, 0, err
			}
		}
	}
	return nil, 0, errors.New("the list is not closed")
}
