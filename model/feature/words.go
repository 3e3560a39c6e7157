package feature

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// wordTable finds the entry of a word that is not empty. The levels of most columns differ in their length, or in their first or their
// last byte: that byte then leads to the one candidate, and a comparison decides. Other sets of words get a hash table in one array.
type wordTable struct {
	key   keyKind
	byKey [256]uint8 // keys other than keyHash: place in words of the candidate, 0 for none
	words []string   // the word of each entry, from entryWords on
	slots []wordSlot // keyHash: a power of two, at least twice as many as words
}

// keyKind says which byte tells the words of a table apart.
type keyKind uint8

const (
	keyLength keyKind = iota // modulo 256
	keyFirst
	keyLast
	keyHash // none does
)

type wordSlot struct {
	word  string // "" = free
	entry uint32
}

// newWordTable gives the words, which are not empty and differ, the entries from entryWords on.
func newWordTable(words []string) wordTable {
	t := wordTable{words: append(make([]string, entryWords), words...)}
	if len(t.words) <= len(t.byKey) {
		for t.key = keyLength; t.key < keyHash; t.key++ {
			if t.tellsApart() {
				return t
			}
		}
	}
	t.key = keyHash
	t.slots = make([]wordSlot, 2<<bits.Len(uint(len(words))))
	for i, w := range words {
		at := t.place(w)
		for t.slots[at].word != "" {
			at = (at + 1) & (len(t.slots) - 1)
		}
		t.slots[at] = wordSlot{w, entryWords + uint32(i)}
	}
	return t
}

// tellsApart fills byKey and reports whether no two words share a key.
func (t *wordTable) tellsApart() bool {
	t.byKey = [256]uint8{}
	for i, w := range t.words[entryWords:] {
		k := t.byteOf(w)
		if t.byKey[k] != 0 {
			return false
		}
		t.byKey[k] = uint8(entryWords + i)
	}
	return true
}

func (t *wordTable) byteOf(w string) uint8 {
	switch t.key {
	case keyLength:
		return uint8(len(w))
	case keyFirst:
		return w[0]
	}
	return w[len(w)-1]
}

func (t *wordTable) place(w string) int { return int(xxhash.Sum64String(w)) & (len(t.slots) - 1) }

// find returns the entry of a word that is not empty, entryUnknown if the table does not have it.
func (t *wordTable) find(w string) uint32 {
	if t.key == keyHash {
		return t.hashed(w)
	}
	if e := t.byKey[t.byteOf(w)]; t.words[e] == w { // words[0] is "", which no word is
		return uint32(e)
	}
	return entryUnknown
}

func (t *wordTable) hashed(w string) uint32 {
	for at := t.place(w); ; at = (at + 1) & (len(t.slots) - 1) {
		s := &t.slots[at]
		if s.word == w {
			return s.entry
		}
		if s.word == "" {
			return entryUnknown
		}
	}
}
