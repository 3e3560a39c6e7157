package filter

import (
	"strings"
	"unicode/utf8"
)

// maxPattern and maxPiece bound a pattern and what stands between two of its % signs, in characters: both are far beyond what anybody looks for.
const (
	maxPattern = 1000
	maxPiece   = 250
)

// compile splits a pattern, and reports whether it is within its bounds.
func (t *term) compile() bool {
	text := t.text
	switch t.op {
	case opLike:
	case opILike:
		text = strings.ToLower(text)
	default:
		return true
	}
	if utf8.RuneCountInString(text) > maxPattern {
		return false
	}
	for s := range strings.SplitSeq(text, "%") {
		if utf8.RuneCountInString(s) > maxPiece {
			return false
		}
		t.like.pieces = append(t.like.pieces, newPiece(s))
	}
	return true
}

// pattern is a LIKE pattern, split at its % signs. Matching takes each piece at its first place, which is enough, and goes through the text once:
// the time is the text's length times the words that the longest piece's characters make as bits.
type pattern struct{ pieces []piece }

func (p pattern) match(s string, b *Budget) bool {
	first, last := &p.pieces[0], &p.pieces[len(p.pieces)-1]
	b.take(len(first.text) + len(last.text))
	n, ok := first.prefixLen(s)
	if !ok {
		return false
	}
	s = s[n:]
	if len(p.pieces) == 1 {
		return s == ""
	}
	for i := range p.pieces[1 : len(p.pieces)-1] {
		end := p.pieces[1+i].find(s, b)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return last.isSuffix(s)
}

// piece is a part of a pattern without %.
type piece struct {
	text string
	// any says that it has a _, which stands for any character. What follows is nil without.
	any bool
	// masks says of each class of characters in which places of the piece they may stand, as bits. Class 0 are those that it does not name.
	masks  [][]uint64
	ascii  []uint8 // classes of ASCII
	others map[rune]uint8
	// last is the bit of the last place, in the last word.
	last uint64
}

func newPiece(text string) piece {
	p := piece{text: text, any: strings.Contains(text, "_")}
	if !p.any {
		return p
	}
	n := utf8.RuneCountInString(text)
	words := (n + 63) / 64
	p.last = 1 << ((n - 1) % 64)
	p.ascii, p.others = make([]uint8, utf8.RuneSelf), map[rune]uint8{}
	p.masks = [][]uint64{make([]uint64, words)}
	for _, r := range text { // at most maxPiece, so that a class is a byte
		if r == '_' || p.class(r) != 0 {
			continue
		}
		if r < utf8.RuneSelf {
			p.ascii[r] = uint8(len(p.masks))
		} else {
			p.others[r] = uint8(len(p.masks))
		}
		p.masks = append(p.masks, make([]uint64, words))
	}
	at := 0
	for _, r := range text {
		bit := uint64(1) << (at % 64)
		if r == '_' {
			for _, m := range p.masks {
				m[at/64] |= bit
			}
		} else {
			p.masks[p.class(r)][at/64] |= bit
		}
		at++
	}
	return p
}

func (p *piece) class(r rune) uint8 {
	if r < utf8.RuneSelf {
		return p.ascii[r]
	}
	return p.others[r]
}

// find returns where the first place of the piece in s ends; -1 if it has none.
func (p *piece) find(s string, b *Budget) int {
	if !p.any {
		at := strings.Index(s, p.text)
		if at < 0 {
			b.take(termCost + len(s)/4)
			return -1
		}
		b.take(termCost + at/4)
		return at + len(p.text)
	}
	end := p.findAny(s)
	seen := end
	if end < 0 {
		seen = len(s)
	}
	b.take(termCost + seen*(1+len(p.masks[0])))
	return end
}

// findAny is find of a piece with a _. Each bit of the state says that the piece stands before here up to that place.
func (p *piece) findAny(s string) int {
	var buf [(maxPiece + 63) / 64]uint64
	state := buf[:len(p.masks[0])]
	for at := 0; at < len(s); {
		r, size := rune(s[at]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[at:])
		}
		at += size
		mask := p.masks[p.class(r)]
		carry := uint64(1)
		for i, m := range mask {
			next := state[i] >> 63
			state[i] = (state[i]<<1 | carry) & m
			carry = next
		}
		if state[len(state)-1]&p.last != 0 {
			return at
		}
	}
	return -1
}

// prefixLen returns how many bytes of s the piece takes, and whether s begins with it.
func (p *piece) prefixLen(s string) (int, bool) {
	if !p.any {
		return len(p.text), strings.HasPrefix(s, p.text)
	}
	n := 0
	for _, want := range p.text {
		if n == len(s) {
			return 0, false
		}
		r, size := utf8.DecodeRuneInString(s[n:])
		if want != '_' && want != r {
			return 0, false
		}
		n += size
	}
	return n, true
}

// isSuffix reports whether s ends with the piece.
func (p *piece) isSuffix(s string) bool {
	if !p.any {
		return strings.HasSuffix(s, p.text)
	}
	start := len(s)
	for range utf8.RuneCountInString(p.text) {
		if start == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(s[:start])
		start -= size
	}
	n, ok := p.prefixLen(s[start:])
	return ok && start+n == len(s)
}
