package dataset

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
)

// RowDigest returns "row-" and 16 hex digits of a hash over the row's features: the id of a row whose spec has no id
// column. Label and position do not count, so the same customer has the same digest with and without an outcome, and rows
// that are equal in every feature share one. The hash is for placing rows and is no protection against a forger.
func RowDigest(row *Row) string {
	var buf [8]byte
	h := xxhash.New()
	word := func(v uint64) {
		binary.LittleEndian.PutUint64(buf[:], v)
		_, _ = h.Write(buf[:]) // a Digest's Write never fails
	}
	for _, v := range row.Num {
		switch {
		case math.IsNaN(v):
			word(math.Float64bits(math.NaN()))
		case v == 0: // -0 is the same value
			word(0)
		default:
			word(math.Float64bits(v))
		}
	}
	for _, s := range row.Cat {
		word(uint64(len(s)))
		_, _ = h.WriteString(s)
	}
	return fmt.Sprintf("row-%016x", h.Sum64())
}
