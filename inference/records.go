package inference

import (
	"bytes"
	"errors"
	"fmt"
)

const space = " \t\r\n"

// splitRecords appends the records of a body to dst, each a slice of it: the body itself, or the elements of a JSON list. It looks at brackets,
// strings and commas only; whether an element is a record is the decoder's question, so that a token such as NaN inside one record is
// reported with its column and not as a broken list. Of a list with more than most records (0: no bound) only the first ones are returned, as a body
// of brackets would take many times its size; count says how many there are. Errors are a sentence for the client.
func splitRecords(dst [][]byte, body []byte, most int) (records [][]byte, count int, list bool, err error) {
	body = bytes.Trim(body, space)
	if len(body) == 0 {
		return nil, 0, false, errors.New("the body is empty: send one record as a JSON object, or a list of them")
	}
	if body[0] != '[' {
		return append(dst, body), 1, false, nil
	}
	records, count, end, err := splitList(dst, body, most)
	if err != nil {
		return nil, 0, true, err
	}
	if rest := bytes.TrimLeft(body[end:], space); len(rest) > 0 {
		return nil, 0, true, fmt.Errorf("there is more after the end of the list: %.20q", rest)
	}
	if count == 0 {
		return nil, 0, true, errors.New("the list is empty: send at least one record")
	}
	return records, count, true, nil
}

// splitList appends the elements of the list that body starts with, as many as most lets it, and returns how many there are and the index after the
// closing bracket.
func splitList(elements [][]byte, body []byte, most int) (_ [][]byte, count, end int, err error) {
	depth, start, quoted := 0, 1, false
	cut := func(at int, last bool) error {
		element := bytes.Trim(body[start:at], space)
		start = at + 1
		if len(element) > 0 {
			if count++; most <= 0 || count <= most {
				elements = append(elements, element)
			}
			return nil
		}
		if last && count == 0 {
			return nil
		}
		return fmt.Errorf("element %d of the list is empty", count)
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
					return nil, 0, 0, errors.New("the list is closed by a brace")
				}
				err = cut(i, true)
				return elements, count, i + 1, err
			}
		case c == ',' && depth == 1:
			if err := cut(i, false); err != nil {
				return nil, 0, 0, err
			}
		}
	}
	return nil, 0, 0, errors.New("the list is not closed")
}
