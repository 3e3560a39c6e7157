package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Magic begins and ends a Parquet file.
const Magic = "PAR1"

// Kind is what the values of a column are.
type Kind int

const (
	Text    Kind = iota // texts, each its own
	Word                // a few texts, again and again
	Integer             // 64 bits, a few values
	Double
)

// Column is a column of a file that is written.
type Column struct {
	Name string
	Kind Kind
}

// ordered is a node of a schema whose columns keep their order; that of the library sorts them by name.
type ordered struct {
	parquet.Node
	fields []parquet.Field
}

func (o ordered) Fields() []parquet.Field { return o.fields }

func schemaOf(columns []Column) *parquet.Schema {
	group := parquet.Group{}
	for _, c := range columns {
		node := parquet.Encoded(parquet.String(), &parquet.Plain)
		switch c.Kind {
		case Double:
			node = parquet.Leaf(parquet.DoubleType)
		case Integer:
			node = parquet.Encoded(parquet.Int(64), &parquet.RLEDictionary)
		case Word:
			node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		}
		group[c.Name] = parquet.Compressed(node, &parquet.Snappy)
	}
	root := ordered{Node: group}
	for _, c := range columns {
		for _, f := range group.Fields() {
			if f.Name() == c.Name {
				root.fields = append(root.fields, f)
			}
		}
	}
	return parquet.NewSchema("scores", root)
}

// Writer encodes row groups. Each is made as a file of its own in memory, of which the group's bytes are taken: so a group depends on its rows
// alone, and a file can be continued.
type Writer struct {
	schema *parquet.Schema
	buf    bytes.Buffer
	w      *parquet.GenericWriter[any]
	rows   int
}

// NewWriter makes one for columns of different names, in this order.
func NewWriter(columns []Column) (*Writer, error) {
	g := &Writer{schema: schemaOf(columns)}
	if got := len(g.schema.Columns()); got != len(columns) {
		return nil, fmt.Errorf("schema of the output has %d columns, want %d", got, len(columns))
	}
	g.open()
	return g, nil
}

func (g *Writer) open() {
	g.buf.Reset()
	g.rows = 0
	g.w = parquet.NewGenericWriter[any](&g.buf, g.schema, parquet.CreatedBy("churn", "1", ""))
}

// Add adds rows to the group, as many values of each column.
func (g *Writer) Add(columns [][]parquet.Value) error {
	to := g.w.ColumnWriters()
	for c, values := range columns {
		for i := range values {
			values[i] = values[i].Level(0, 0, c)
		}
		if n, err := to[c].WriteRowValues(values); err != nil || n != len(values) {
			return fmt.Errorf("encode column %d: %d of %d values: %w", c, n, len(values), err)
		}
	}
	g.rows += len(columns[0])
	return nil
}

// Rows is how many rows the group has.
func (g *Writer) Rows() int { return g.rows }

// End returns the bytes of the group, as they stand at an offset of the file, and its description for the footer.
func (g *Writer) End(at int64) (body, description []byte, err error) {
	if err := g.w.Close(); err != nil {
		return nil, nil, fmt.Errorf("encode row group: %w", err)
	}
	meta, err := metadata(g.buf.Bytes())
	if err != nil {
		return nil, nil, fmt.Errorf("encode row group: %w", err)
	}
	if len(meta.RowGroups) != 1 {
		return nil, nil, fmt.Errorf("encode row group: there are %d", len(meta.RowGroups))
	}
	group := &meta.RowGroups[0]
	end, shift := int64(0), at-int64(len(Magic))
	for i := range group.Columns {
		c := &group.Columns[i]
		first := c.MetaData.DataPageOffset
		if d := c.MetaData.DictionaryPageOffset; d != 0 {
			first = min(first, d)
			c.MetaData.DictionaryPageOffset += shift
		}
		end = max(end, first+c.MetaData.TotalCompressedSize)
		c.MetaData.DataPageOffset += shift
		c.FileOffset = 0 // deprecated; readers take the offsets of the pages
		c.OffsetIndexOffset, c.OffsetIndexLength, c.ColumnIndexOffset, c.ColumnIndexLength = 0, 0, 0, 0
	}
	group.FileOffset, group.Ordinal = at, 0
	if description, err = thrift.Marshal(new(thrift.CompactProtocol), group); err != nil {
		return nil, nil, fmt.Errorf("encode row group: %w", err)
	}
	body = append([]byte(nil), g.buf.Bytes()[len(Magic):end]...)
	g.open()
	return body, description, nil
}

// metadata reads the footer of a file in memory.
func metadata(file []byte) (*format.FileMetaData, error) {
	const tail = 4 + len(Magic)
	if len(file) < tail {
		return nil, errors.New("file too short")
	}
	size := int(binary.LittleEndian.Uint32(file[len(file)-tail:]))
	if size > len(file)-tail {
		return nil, errors.New("footer longer than the file")
	}
	var meta format.FileMetaData
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), file[len(file)-tail-size:len(file)-tail], &meta); err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	return &meta, nil
}

// Footer returns the end of the file over groups in their order.
func (g *Writer) Footer(groups [][]byte) ([]byte, error) {
	g.open()
	if err := g.w.Close(); err != nil {
		return nil, fmt.Errorf("encode footer: %w", err)
	}
	meta, err := metadata(g.buf.Bytes()) // of a file without rows
	if err != nil {
		return nil, fmt.Errorf("encode footer: %w", err)
	}
	meta.NumRows, meta.RowGroups = 0, nil
	for i, description := range groups {
		var group format.RowGroup
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), description, &group); err != nil {
			return nil, fmt.Errorf("row group %d of the checkpoint: %w", i, err)
		}
		meta.NumRows += group.NumRows
		meta.RowGroups = append(meta.RowGroups, group)
	}
	raw, err := thrift.Marshal(new(thrift.CompactProtocol), meta)
	if err != nil {
		return nil, fmt.Errorf("encode footer: %w", err)
	}
	return append(binary.LittleEndian.AppendUint32(raw, uint32(len(raw))), Magic...), nil
}
