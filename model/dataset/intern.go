package dataset

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
)

// interner maps the text of a cell to a code without allocating for texts it has seen. A text of up to 16 bytes is known by its length
// and two words of eight bytes; only longer ones are hashed and compared byte by byte. Codes do not depend on hashes.
type interner struct {
	cells []internCell // a power of two
	used  int
	text  []byte // of the texts longer than 16 bytes
}

type internCell struct {
	first, last uint64
	length      uint32 // 0 = free; the empty text never gets here
	code        uint32
	at          uint64 // in text
}

// The hashes of a process have keys of their own, so that no file can be made whose texts all share one.
var (
	longKey  = maphash.MakeSeed()
	shortKey = [2]uint64{rand.Uint64(), rand.Uint64()}
)

// hashOf returns the hash of a text of given words: of a short one, which they tell all of, the halves of a product folded.
func hashOf(b []byte, first, last uint64) uint64 {
	if len(b) > 16 {
		return maphash.Bytes(longKey, b)
	}
	return hashShort(first, last, uint64(len(b)))
}

func hashShort(first, last, length uint64) uint64 {
	high, low := bits.Mul64(first^shortKey[0], last^shortKey[1]^length<<56)
	return high ^ low
}

// wordsOf returns the first and last eight bytes of a text that is not empty; of a shorter one, with its length, all there is to know.
func wordsOf(b []byte) (first, last uint64) {
	switch n := len(b); {
	case n >= 8:
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<32, 0
	default:
		return uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16, 0
	}
}

// place returns where a text stands or would stand.
func (n *interner) place(b []byte, first, last uint64) (cell *internCell, found bool) {
	mask := uint64(len(n.cells) - 1)
	for at := hashOf(b, first, last) & mask; ; at = (at + 1) & mask {
		c := &n.cells[at]
		if c.length == 0 {
			return c, false
		}
		if c.first == first && c.last == last && c.length == uint32(len(b)) &&
			(len(b) <= 16 || bytes.Equal(n.text[c.at:c.at+uint64(c.length)], b)) {
			return c, true
		}
	}
}

// find returns the code of a text that is not empty.
func (n *interner) find(b []byte) (uint32, bool) {
	if n.used == 0 {
		return 0, false
	}
	first, last := wordsOf(b)
	c, found := n.place(b, first, last)
	return c.code, found
}

// add keeps the code of a text that is not empty and was not found.
func (n *interner) add(b []byte, code uint32) {
	if 2*n.used >= len(n.cells) {
		n.grow()
	}
	first, last := wordsOf(b)
	c, _ := n.place(b, first, last)
	*c = internCell{first: first, last: last, length: uint32(len(b)), code: code}
	if len(b) > 16 {
		c.at = uint64(len(n.text))
		n.text = append(n.text, b...)
	}
	n.used++
}

func (n *interner) grow() {
	old := n.cells
	n.cells = make([]internCell, max(16, 2*len(old)))
	mask := uint64(len(n.cells) - 1)
	for _, c := range old {
		if c.length == 0 {
			continue
		}
		h := uint64(0)
		if c.length > 16 {
			h = maphash.Bytes(longKey, n.text[c.at:c.at+uint64(c.length)])
		} else {
			h = hashShort(c.first, c.last, uint64(c.length))
		}
		at := h & mask
		for n.cells[at].length != 0 {
			at = (at + 1) & mask
		}
		n.cells[at] = c
	}
}
