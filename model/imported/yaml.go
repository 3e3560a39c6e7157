package imported

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxDepth bounds how deep the values of an MLmodel file are nested.
const maxDepth = 64

// tree is a value of a YAML file: nil, a string (the text of any scalar), a []any or a map[string]any. What an alias stands for is not looked
// up, so that a tree is never larger than its text.
type tree = any

// parseTree reads the one document of a file.
func parseTree(data []byte) (tree, error) {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil && syntax.GetToken().Position != nil {
			return nil, fmt.Errorf("line %d: %s", syntax.GetToken().Position.Line, syntax.GetMessage())
		}
		return nil, err
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			return grow(doc.Body, maxDepth)
		}
	}
	return nil, errors.New("it is empty")
}

// grow turns a node into a tree of at most a depth.
func grow(n ast.Node, depth int) (tree, error) {
	if depth == 0 {
		return nil, fmt.Errorf("values are nested more than %d deep", maxDepth)
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		return growMap(v.Values, depth)
	case *ast.MappingValueNode: // a mapping of one pair
		return growMap([]*ast.MappingValueNode{v}, depth)
	case *ast.SequenceNode:
		list := make([]any, 0, len(v.Values))
		for _, item := range v.Values {
			t, err := grow(item, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
		}
		return list, nil
	case *ast.AnchorNode:
		return grow(v.Value, depth-1)
	case *ast.TagNode:
		return grow(v.Value, depth-1)
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NanNode, *ast.InfinityNode:
		return n.GetToken().Value, nil
	}
	return nil, nil
}

func growMap(pairs []*ast.MappingValueNode, depth int) (tree, error) {
	m := make(map[string]any, len(pairs))
	for _, p := range pairs {
		if p.Key == nil || p.Key.GetToken() == nil || p.Value == nil {
			continue
		}
		key := p.Key.GetToken().Value
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("the key %q is there twice", clip(key))
		}
		t, err := grow(p.Value, depth-1)
		if err != nil {
			return nil, err
		}
		m[key] = t
	}
	return m, nil
}

// at follows keys through mappings; nil if one is not there.
func at(t tree, keys ...string) tree {
	for _, key := range keys {
		m, ok := t.(map[string]any)
		if !ok {
			return nil
		}
		t = m[key]
	}
	return t
}

// textAt returns the scalar under keys, "" if there is none.
func textAt(t tree, keys ...string) string {
	s, _ := at(t, keys...).(string)
	return s
}

// clip shortens untrusted text for a message.
func clip(text string) string {
	const most = 80
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
