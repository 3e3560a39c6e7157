package dataset

import (
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"
)

// RowDigest returns "row-" and 16 hex digits of a hash over the row's features: the id of a row whose spec has no id
// column. Label and position do not count, so the same customer has the same digest with and without an outcome, and rows
// that are equal in every feature share one. The hash is for placing rows and is no protection against a forger.
func RowDigest(row *Row) string { return string(appendRowDigest(nil, row)) }

// appendRowDigest overwrites buf, from its start, with the digest.
func appendRowDigest(buf []byte, row *Row) []byte {
	buf = buf[:0]
	for _, v := range row.Num {
		buf = appendDigestNumber(buf, v)
	}
	for _, s := range row.Cat {
		buf = appendDigestWord(buf, s)
	}
	return appendDigest(buf[:0], xxhash.Sum64(buf))
}

// rowDigest returns the digest of the decoder's row: a view of the decoder's own memory if it has some.
func (d *decoder) rowDigest() string {
	if d.digest == nil {
		return RowDigest(d.row)
	}
	*d.digest = appendRowDigest(*d.digest, d.row)
	return view(*d.digest)
}

// appendDigestNumber appends what is hashed of a number.
func appendDigestNumber(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		v = math.NaN()
	case v == 0: // -0 is the same value
		v = 0
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// appendDigestWord appends what is hashed of a word.
func appendDigestWord(dst []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(dst, uint64(len(s))), s...)
}

// appendDigest appends a hash as an id.
func appendDigest(dst []byte, sum uint64) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, "row-"...)
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[sum>>shift&15])
	}
	return dst
}
