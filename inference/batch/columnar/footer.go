package columnar

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// What a Parquet file may have. The library takes memory for what a footer says before it looks whether the file has it, and for a schema in proportion to
// columns times depth: a megabyte of footer could ask for more than any machine has.
const (
	maxFooter  = 64 << 20 // bytes
	maxColumns = 20_000   // elements of the schema
	maxDepth   = 64       // groups within groups
	maxGroups  = 200_000  // row groups times columns is bounded by the footer's bytes
)

// checkFooter refuses a footer beyond these bounds. What is wrong with it otherwise the library says.
func checkFooter(r io.ReaderAt, size int64) error {
	const tail = 4 + int64(len(Magic))
	if size < tail {
		return nil
	}
	var end [tail]byte
	if n, err := r.ReadAt(end[:], size-tail); n < len(end) {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(end[:]))
	if n > size-tail || string(end[4:]) != Magic {
		return nil
	}
	if n > maxFooter {
		return fmt.Errorf("its footer has %d bytes, more than %d", n, maxFooter)
	}
	raw := make([]byte, n)
	if got, err := r.ReadAt(raw, size-tail-n); got < len(raw) {
		return err
	}
	var meta format.FileMetaData
	if thrift.Unmarshal(new(thrift.CompactProtocol), raw, &meta) != nil {
		return nil
	}
	if len(meta.Schema) > maxColumns || len(meta.RowGroups) > maxGroups {
		return fmt.Errorf("it has %d columns and %d row groups, more than %d or %d", len(meta.Schema), len(meta.RowGroups), maxColumns, maxGroups)
	}
	var open []int32 // how many children are still to come of each group that one is within
	for _, e := range meta.Schema {
		for len(open) > 0 && open[len(open)-1] <= 0 {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			open[len(open)-1]--
		}
		if e.NumChildren.Valid {
			open = append(open, e.NumChildren.V)
		}
		if len(open) > maxDepth {
			return fmt.Errorf("its columns are nested more than %d deep", maxDepth)
		}
	}
	return nil
}
