package dataset

import "math"

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
	c.widen(code)
	switch {
	case c.u32 != nil:
		c.u32 = append(c.u32, code)
	case c.u16 != nil:
		c.u16 = append(c.u16, uint16(code))
	default:
		c.u8 = append(c.u8, uint8(code))
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
	index map[string]uint32
	codes Codes
}

func newWords() words { return words{names: []string{""}, index: map[string]uint32{"": 0}} }

// code returns the code of a word, a new one where it is not known yet. The word is kept.
func (w *words) code(s string) uint32 {
	code, ok := w.index[s]
	if !ok {
		code = uint32(len(w.names))
		w.names = append(w.names, s)
		w.index[s] = code
	}
	return code
}

func (w *words) append(s string) { w.codes.append(w.code(s)) }

func (w *words) at(i int) string { return w.names[w.codes.At(i)] }
