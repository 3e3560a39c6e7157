package tracking

import (
	"encoding/hex"
	"slices"
	"strings"

	"telco-churn-mlops/internal/artifact"
)

// leaf is a file.
type leaf struct {
	digest [32]byte
	size   int64
	seq    uint64 // of the message that stored it
}

// node is a name in a tree: a folder, a file, or, where two clients raced, both.
type node struct {
	children map[string]*node
	file     *leaf
}

// tree holds files by their path, with a folder for each of its parts.
type tree struct {
	root node
	// dropped, if set, is called with each file that is taken away or replaced.
	dropped func(leaf)
}

func (t *tree) drop(l *leaf) {
	if l != nil && t.dropped != nil {
		t.dropped(*l)
	}
}

// packDigest returns the bytes of a valid digest.
func packDigest(d artifact.Digest) (sum [32]byte) {
	_, _ = hex.Decode(sum[:], []byte(d.Hex()))
	return sum
}

func unpackDigest(sum [32]byte) artifact.Digest {
	return artifact.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// find returns the node of a path, nil if there is none; the empty path is the root.
func (t *tree) find(path string) *node {
	n := &t.root
	for path != "" && n != nil {
		var name string
		name, path, _ = strings.Cut(path, "/")
		n = n.children[name]
	}
	return n
}

// put stores a file, unless what is there is newer. A file that was removed ahead of the follower may come back for a moment, until the follower
// has come to the removal too: nobody sees it, as every reader waits for the follower.
func (t *tree) put(path string, l leaf) {
	n := &t.root
	for rest := path; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		child := n.children[name]
		if child == nil {
			child = &node{}
			if n.children == nil {
				n.children = make(map[string]*node, 1)
			}
			n.children[strings.Clone(name)] = child
		}
		n = child
	}
	if n.file == nil || n.file.seq < l.seq {
		t.drop(n.file)
		n.file = &l
	}
}

// remove takes away a file, or a folder with all below it, save what was stored after seq; 0 means all.
func (t *tree) remove(path string, seq uint64) {
	at := &t.root
	trail := []*node{}
	for rest, name := path, ""; rest != ""; {
		name, rest, _ = strings.Cut(rest, "/")
		trail = append(trail, at)
		if at = at.children[name]; at == nil {
			return
		}
	}
	t.cut(at, seq)
	for names := strings.Split(path, "/"); len(trail) > 0 && at.empty(); {
		i := len(trail) - 1
		delete(trail[i].children, names[i])
		at, trail = trail[i], trail[:i]
	}
}

func (n *node) empty() bool { return n.file == nil && len(n.children) == 0 }

func (t *tree) cut(n *node, seq uint64) {
	if n.file != nil && (seq == 0 || n.file.seq < seq) {
		t.drop(n.file)
		n.file = nil
	}
	for name, child := range n.children {
		if t.cut(child, seq); child.empty() {
			delete(n.children, name)
		}
	}
}

// walk calls fn with each file at or below a node, ordered by path, until fn returns false.
func (n *node) walk(path string, fn func(string, leaf) bool) bool {
	if n == nil {
		return true
	}
	if n.file != nil && !fn(path, *n.file) {
		return false
	}
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		below := name
		if path != "" {
			below = path + "/" + name
		}
		if !n.children[name].walk(below, fn) {
			return false
		}
	}
	return true
}

// list adds what stands in a folder.
func (n *node) list(into []Entry) []Entry {
	if n == nil {
		return into
	}
	for name, child := range n.children {
		if len(child.children) > 0 {
			into = append(into, Entry{Name: name, Dir: true})
		}
		if child.file != nil {
			into = append(into, Entry{Name: name, Size: child.file.size})
		}
	}
	return into
}
