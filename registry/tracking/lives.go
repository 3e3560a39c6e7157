package tracking

import (
	"math"
	"sort"
)

// life is a creation, or a change of whether something is deleted.
type life struct {
	seq     uint64
	at      int64 // milliseconds since 1970 UTC, of the fact
	deleted bool
}

// lives are the creation of something and the changes of whether it is deleted, in the order of the stream. They say how things stood at a place
// of the stream whatever of this process's own was folded ahead of it: a subject's facts are folded in their order.
type lives []life

func (l *lives) note(deleted bool, f fact) {
	if n := len(*l); n == 0 || (*l)[n-1].deleted != deleted {
		*l = append(*l, life{f.seq, f.at, deleted})
	}
}

// after returns the index of the first change after a sequence.
func (l lives) after(seq uint64) int {
	return sort.Search(len(l), func(i int) bool { return l[i].seq > seq })
}

// deleted reports whether it was deleted once the fact at a sequence was folded.
func (l lives) deleted(seq uint64) bool {
	i := l.after(seq)
	return i > 0 && l[i-1].deleted
}

// livesOf returns the lives of a run or logged model that a client created, none for another id, and of its experiment.
func (s *state) livesOf(owner string) (own, above lives) {
	if m := s.models[owner]; m != nil && m.created {
		return m.lives, m.experiment.lives
	}
	if r := s.runs[owner]; r != nil && r.created {
		return r.lives, r.exp.lives
	}
	return nil, nil
}

// goneSince reports whether an owner of files, or its experiment, was deleted at a sequence and at every one from there up to another, at which it is asked.
func (s *state) goneSince(owner string, since, now uint64) bool {
	own, above := s.livesOf(owner)
	gone := func(seq uint64) bool { return own.deleted(seq) || above.deleted(seq) }
	if own.after(since) == 0 || !gone(since) {
		return false
	}
	for _, l := range []lives{own, above} {
		for _, change := range l[l.after(since):] {
			if change.seq < now && !gone(change.seq) {
				return false
			}
		}
	}
	return true
}

// Deleted reports whether the run or logged model whose files are at a path, or its experiment, is deleted, as far as is folded: garbage collection may
// take the files away.
func (b *Book) Deleted(path string) bool {
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	own, above := b.state.livesOf(ownerOf(path))
	return len(own) > 0 && (own.deleted(math.MaxUint64) || above.deleted(math.MaxUint64))
}
