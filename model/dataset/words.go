package dataset

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Codes are small whole numbers, each in the fewest bytes that all of them fit. The zero value is empty.
type Codes struct {
	u8  []uint8 // while every code fits
	u16 []uint16
	u32 []uint32
}

// Len returns how many there are.
func (c *Codes) Len() int { return len(c.u8) + len(c.u16) + len(c.u32) }

// At returns code i.
func (c *Codes) At(i int) uint32 {
	switch {
	case c.u8 != nil:
		return uint32(c.u8[i])
	case c.u16 != nil:
		return uint32(c.u16[i])
	}
	return c.u32[i]
}

func (c *Codes) append(code uint32) {
	if code <= math.MaxUint8 && c.u16 == nil && c.u32 == nil {
		c.u8 = append(c.u8, uint8(code))
		return
	}
	c.appendWide(code)
}

func (c *Codes) appendWide(code uint32) {
	c.widen(code)
	if c.u32 != nil {
		c.u32 = append(c.u32, code)
	} else {
		c.u16 = append(c.u16, uint16(code))
	}
}

// truncate drops all but the first n.
func (c *Codes) truncate(n int) {
	switch {
	case c.u32 != nil:
		c.u32 = c.u32[:n]
	case c.u16 != nil:
		c.u16 = c.u16[:n]
	default:
		c.u8 = c.u8[:n]
	}
}

// widen makes room for codes up to most.
func (c *Codes) widen(most uint32) {
	if most > math.MaxUint8 && c.u16 == nil && c.u32 == nil {
		c.u16 = convert[uint16](c.u8)
		c.u8 = nil
	}
	if most > math.MaxUint16 && c.u32 == nil {
		c.u32 = convert[uint32](c.u16)
		c.u16 = nil
	}
}

func convert[To, From uint8 | uint16 | uint32](from []From) []To {
	to := make([]To, len(from), 2*len(from)+1)
	for i, v := range from {
		to[i] = To(v)
	}
	return to
}

// words is a dictionary-coded column. Code 0 is the empty word, a missing value.
type words struct {
	names []string
	index interner // of the names behind the first
	codes Codes
}

func newWords() words { return words{names: []string{""}} }

// code returns the code of a word, a new one where it is not known yet. The word is kept.
func (w *words) code(s string) uint32 {
	if s == "" {
		return 0
	}
	text := bytesOf(s)
	code, ok := w.index.find(text)
	if !ok {
		code = uint32(len(w.names))
		w.names = append(w.names, s)
		w.index.add(text, code)
	}
	return code
}

func (w *words) append(s string) { w.codes.append(w.code(s)) }

func (w *words) at(i int) string { return w.names[w.codes.At(i)] }

// texts are byte strings one behind the other, so that ten million of them are two allocations and nothing for the collector
// to follow.
type texts struct {
	text []byte
	ends []uint64
}

func (x *texts) append(b []byte) {
	x.text = append(x.text, b...)
	x.ends = append(x.ends, uint64(len(x.text)))
}

func (x *texts) at(i int) string {
	from := uint64(0)
	if i > 0 {
		from = x.ends[i-1]
	}
	return view(x.text[from:x.ends[i]]) // what was appended is never written again
}

// join appends the texts of another.
func (x *texts) join(o *texts) {
	base := uint64(len(x.text))
	x.text = append(x.text, o.text...)
	for _, end := range o.ends {
		x.ends = append(x.ends, base+end)
	}
}

// hashes returns a hash of each text that is not empty.
func (x *texts) hashes() []uint64 {
	out := make([]uint64, 0, len(x.ends))
	for i := range x.ends {
		if s := x.at(i); s != "" {
			out = append(out, xxhash.Sum64String(s))
		}
	}
	return out
}

// reserve makes room for so many rows.
func (t *Table) reserve(rows int) {
	t.labels = make([]uint8, 0, rows)
	t.ids = texts{make([]byte, 0, 12*rows), make([]uint64, 0, rows)}
	for i := range t.num {
		t.num[i] = make([]float64, 0, rows)
	}
	for i := range t.cat {
		t.cat[i].codes.u8 = make([]uint8, 0, rows)
	}
}

// truncate drops what was read of a row that is not whole: columns that are longer than the labels, which come last.
func (t *Table) truncate() {
	n := len(t.labels)
	for i := range t.num {
		t.num[i] = t.num[i][:n]
	}
	for i := range t.cat {
		t.cat[i].codes.truncate(n)
	}
}

// join appends the rows of a part. Its words get codes here in the order in which its rows hold them, so that a table does not
// depend on who read which part.
func (t *Table) join(p *Table, known []*translation) {
	t.ids.join(&p.ids)
	t.labels = append(t.labels, p.labels...)
	for i := range t.num {
		t.num[i] = append(t.num[i], p.num[i]...)
	}
	for i := range t.cat {
		known[i].codes = t.cat[i].join(&p.cat[i], known[i].codes)
	}
}

// unmapped is the place of a word that has no code yet.
const unmapped = math.MaxUint32

// join appends the codes of another column. known holds the codes of the words that came before from the same vocabulary.
func (w *words) join(o *words, known []uint32) []uint32 {
	for len(known) < len(o.names) {
		known = append(known, unmapped)
	}
	if slices.Contains(known, unmapped) {
		for i := range o.codes.Len() {
			if c := o.codes.At(i); known[c] == unmapped {
				known[c] = w.code(o.names[c])
			}
		}
	}
	w.codes.widen(uint32(len(w.names) - 1))
	switch {
	case o.codes.u8 != nil:
		translateInto(&w.codes, o.codes.u8, known)
	case o.codes.u16 != nil:
		translateInto(&w.codes, o.codes.u16, known)
	default:
		translateInto(&w.codes, o.codes.u32, known)
	}
	return known
}

func translateInto[From uint8 | uint16 | uint32](dst *Codes, codes []From, known []uint32) {
	switch {
	case dst.u32 != nil:
		dst.u32 = translate(dst.u32, codes, known)
	case dst.u16 != nil:
		dst.u16 = translate(dst.u16, codes, known)
	default:
		dst.u8 = translate(dst.u8, codes, known)
	}
}

func translate[To, From uint8 | uint16 | uint32](dst []To, codes []From, known []uint32) []To {
	n := len(dst)
	dst = slices.Grow(dst, len(codes))[:n+len(codes)]
	for i, c := range codes {
		dst[n+i] = To(known[c])
	}
	return dst
}
