package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// parquetMagic begins and ends a Parquet file.
const parquetMagic = "PAR1"

// rowGroup is the values of some rows, by column of the output.
type rowGroup struct {
	columns [][]parquet.Value
	numbers []int64 // that stand for ids, counted within the block; nil where there are ids
}

// ordered is a node of a schema whose columns keep their order; that of the library sorts them by name.
type ordered struct {
	parquet.Node
	fields []parquet.Field
}

func (o ordered) Fields() []parquet.Field { return o.fields }

// schemaOf returns the output's schema: texts, but for the probability (a double) and the version (a 64-bit integer).
func schemaOf(names []string) *parquet.Schema {
	group := parquet.Group{}
	for _, name := range names {
		node := parquet.Encoded(parquet.String(), &parquet.Plain)
		switch name {
		case columnProbability:
			node = parquet.Leaf(parquet.DoubleType)
		case columnVersion:
			node = parquet.Encoded(parquet.Int(64), &parquet.RLEDictionary)
		case columnLabel:
			node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		}
		group[name] = parquet.Compressed(node, &parquet.Snappy)
	}
	root := ordered{Node: group}
	for _, name := range names {
		for _, f := range group.Fields() {
			if f.Name() == name {
				root.fields = append(root.fields, f)
			}
		}
	}
	return parquet.NewSchema("scores", root)
}

// groupWriter encodes row groups. Each is made as a file of its own in memory, of which the group's bytes are taken: so a group depends on its rows
// alone, and a file can be continued.
type groupWriter struct {
	job    *Job
	schema *parquet.Schema
	buf    bytes.Buffer
	w      *parquet.GenericWriter[any]
	rows   int
}

func newGroupWriter(j *Job) (*groupWriter, error) {
	g := &groupWriter{job: j, schema: schemaOf(j.header())}
	if got := len(g.schema.Columns()); got != len(j.header()) {
		return nil, fmt.Errorf("schema of the output has %d columns, want %d", got, len(j.header()))
	}
	g.open()
	return g, nil
}

func (g *groupWriter) open() {
	g.buf.Reset()
	g.rows = 0
	g.w = parquet.NewGenericWriter[any](&g.buf, g.schema, parquet.CreatedBy("churn", "1", ""))
}

// add adds a block; before is how many records came before it.
func (g *groupWriter) add(t *task, before int64) error {
	for i, n := range t.table.numbers {
		t.table.columns[0][i] = parquet.ByteArrayValue(strconv.AppendInt(nil, before+n, 10))
	}
	columns := g.w.ColumnWriters()
	for c, values := range t.table.columns {
		for i := range values {
			values[i] = values[i].Level(0, 0, c)
		}
		if n, err := columns[c].WriteRowValues(values); err != nil || n != len(values) {
			return fmt.Errorf("encode column %d: %d of %d values: %w", c, n, len(values), err)
		}
	}
	g.rows += len(t.score)
	return nil
}

// end returns the bytes of the group, as they stand at an offset of the file, and its description for the footer.
func (g *groupWriter) end(at int64) (body, description []byte, err error) {
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
	end, shift := int64(0), at-int64(len(parquetMagic))
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
	body = append([]byte(nil), g.buf.Bytes()[len(parquetMagic):end]...)
	g.open()
	return body, description, nil
}

// metadata reads the footer of a file in memory.
func metadata(file []byte) (*format.FileMetaData, error) {
	const tail = 4 + len(parquetMagic)
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

// footer returns the end of the file over groups in their order.
func (g *groupWriter) footer(groups [][]byte) ([]byte, error) {
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
	return append(binary.LittleEndian.AppendUint32(raw, uint32(len(raw))), parquetMagic...), nil
}
