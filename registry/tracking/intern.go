package tracking

import "strings"

const (
	// internLen and internMax bound the values that are kept once: the short and, in a way, the first ones. Everything else is kept as it comes.
	internLen = 64
	internMax = 1 << 16
)

// interner gives keys numbers, and keeps one copy of values that come often. Numbers are never taken back.
type interner struct {
	ids    map[string]uint32
	keys   []string
	values map[string]string
}

func newInterner() *interner {
	return &interner{ids: map[string]uint32{}, values: map[string]string{}}
}

// key returns the number of a key, a new one if it has none.
func (n *interner) key(s string) uint32 {
	id, ok := n.ids[s]
	if !ok {
		s = strings.Clone(s)
		id = uint32(len(n.keys))
		n.ids[s] = id
		n.keys = append(n.keys, s)
	}
	return id
}

// find returns the number of a key, and false if nothing was ever logged under it.
func (n *interner) find(s string) (uint32, bool) {
	id, ok := n.ids[s]
	return id, ok
}

// value returns s, or a copy that is kept already.
func (n *interner) value(s string) string {
	if len(s) > internLen {
		return s
	}
	if kept, ok := n.values[s]; ok {
		return kept
	}
	if len(n.values) < internMax {
		n.values[s] = s
	}
	return s
}
