package feature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// checkKeys refuses what encoding/json lets pass in a document it has decoded: a field that is there twice, of which the last would
// count, and one in another spelling, such as "Scale". The fields of a pipeline are lower-case letters and underscores.
func checkKeys(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	var open []*container
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var in *container
		if len(open) > 0 {
			in = open[len(open)-1]
		}
		switch {
		case token == json.Delim('}') || token == json.Delim(']'):
			open = open[:len(open)-1]
			continue
		case in != nil && in.wantsKey:
			if err := in.key(token.(string)); err != nil { // the decoder gives nothing else here
				return err
			}
			continue
		case in != nil && in.keys != nil:
			in.wantsKey = true // behind this value
		}
		switch token {
		case json.Delim('{'):
			open = append(open, &container{keys: map[string]bool{}, wantsKey: true})
		case json.Delim('['):
			open = append(open, &container{})
		}
	}
}

// container is an object or list that is not at its end.
type container struct {
	keys     map[string]bool // of an object
	wantsKey bool            // the next token is a key
}

func (c *container) key(key string) error {
	if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return fmt.Errorf("unknown field %q", key)
	}
	if c.keys[key] {
		return fmt.Errorf("field %q is there twice", key)
	}
	c.keys[key], c.wantsKey = true, false
	return nil
}
