package batch_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
)

// A damaged Parquet file is an error or, where the damage is in a value, a result; never a panic.
func TestDamagedParquet(t *testing.T) {
	b := bundle(t)
	good := content(t, modeltest.Table(t, modeltest.Options{Rows: 60, Seed: 4}), batch.Parquet)
	random := rand.New(rand.NewPCG(5, 6))
	failed := 0
	for i := range 45 {
		bad := bytes.Clone(good)
		switch i % 3 {
		case 0:
			bad = bad[:random.IntN(len(bad))]
		case 1:
			bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		case 2: // the footer
			bad[len(bad)-8-random.IntN(len(bad)/4)] ^= byte(1 + random.IntN(255))
		}
		_, err := batch.Run(t.Context(), batch.Job{Bundle: b, Input: file(t, "in", bad), InputFormat: batch.Parquet, Folder: folder(t), Output: "out",
			MaxFaults: batch.AnyFaults, Threads: 1})
		if err != nil {
			failed++
			var data *dataset.DataError
			require.ErrorAs(t, err, &data, "a damaged file is not a store that is away")
		}
	}
	require.Greater(t, failed, 15)
}

// A footer that asks for memory beyond measure is refused before it is followed.
func TestHugeFooter(t *testing.T) {
	b := bundle(t)
	good := content(t, modeltest.Table(t, modeltest.Options{Rows: 60, Seed: 4}), batch.Parquet)
	at := len(good) - 8 - int(binary.LittleEndian.Uint32(good[len(good)-8:]))
	for want, change := range map[string]func(*format.FileMetaData){
		"nested more than": func(m *format.FileMetaData) {
			for range 100 {
				m.Schema = append(m.Schema, format.SchemaElement{Name: "deep", NumChildren: thrift.New(int32(1))})
			}
			m.Schema[0].NumChildren.V++
		},
		"20020 columns": func(m *format.FileMetaData) {
			for len(m.Schema) < 20020 {
				m.Schema = append(m.Schema, m.Schema[1])
			}
		},
	} {
		var meta format.FileMetaData
		require.NoError(t, thrift.Unmarshal(new(thrift.CompactProtocol), good[at:len(good)-8], &meta))
		change(&meta)
		footer, err := thrift.Marshal(new(thrift.CompactProtocol), &meta)
		require.NoError(t, err)
		bad := append(binary.LittleEndian.AppendUint32(append(bytes.Clone(good[:at]), footer...), uint32(len(footer))), "PAR1"...)
		_, err = batch.Run(t.Context(), batch.Job{Bundle: b, Input: file(t, "in", bad), InputFormat: batch.Parquet, Folder: folder(t), Output: "out"})
		require.ErrorContains(t, err, want)
	}
}

// A page that stands for any number of values in a few bytes is refused before memory is taken for it.
func TestHugePage(t *testing.T) {
	good := content(t, modeltest.Table(t, modeltest.Options{Rows: 60, Seed: 4}), batch.Parquet)
	at := len(good) - 8 - int(binary.LittleEndian.Uint32(good[len(good)-8:]))
	var meta format.FileMetaData
	require.NoError(t, thrift.Unmarshal(new(thrift.CompactProtocol), good[at:len(good)-8], &meta))
	const rows = 17 << 20
	nulls := append(binary.AppendUvarint(nil, rows<<1), 0)
	page := append(binary.LittleEndian.AppendUint32(nil, uint32(len(nulls))), nulls...)
	header, err := thrift.Marshal(new(thrift.CompactProtocol), &format.PageHeader{Type: format.DataPage, CompressedPageSize: int32(len(page)), UncompressedPageSize: int32(len(page)),
		DataPageHeader: thrift.New(format.DataPageHeader{NumValues: rows, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})})
	require.NoError(t, err)
	group := &meta.RowGroups[0]
	for i := range group.Columns {
		c := &group.Columns[i]
		*c = format.ColumnChunk{MetaData: c.MetaData}
		c.MetaData.Codec, c.MetaData.NumValues, c.MetaData.DataPageOffset, c.MetaData.DictionaryPageOffset = format.Uncompressed, rows, 4, 0
		c.MetaData.TotalCompressedSize = int64(len(header) + len(page))
	}
	group.NumRows, meta.NumRows, meta.RowGroups = rows, rows, meta.RowGroups[:1]
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &meta)
	require.NoError(t, err)
	bad := append(append(append([]byte("PAR1"), header...), page...), footer...)
	bad = append(binary.LittleEndian.AppendUint32(bad, uint32(len(footer))), "PAR1"...)
	_, err = batch.Run(t.Context(), batch.Job{Bundle: bundle(t), Input: file(t, "in", bad), InputFormat: batch.Parquet, Folder: folder(t), Output: "out"})
	require.ErrorContains(t, err, "and 17825792 values: more than")
}

// A file that is one row without an end is refused before it fills the memory.
func TestRowWithoutAnEnd(t *testing.T) {
	b := bundle(t)
	head := content(t, modeltest.Table(t, modeltest.Options{Rows: 50, Seed: 4}), batch.CSV)
	head = head[:bytes.IndexByte(head, '\n')+1]
	_, err := batch.Run(t.Context(), batch.Job{Bundle: b, Input: endless{head}, Folder: folder(t), Output: "out"})
	require.ErrorContains(t, err, "row 1 (line 2): a record is longer than 67108864 bytes: a quote is opened and not closed")
}

// endless is a file whose first row opens a quote and never ends.
type endless struct{ head []byte }

func (e endless) Open(offset int64) (io.ReadCloser, error) {
	all := io.MultiReader(bytes.NewReader(append(bytes.Clone(e.head), '"')), blank{})
	_, err := io.CopyN(io.Discard, all, offset)
	return io.NopCloser(all), err
}

func (endless) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
func (endless) Size() int64                       { return 1 << 50 }
func (endless) Identity() string                  { return "endless" }
func (endless) Check() error                      { return nil }
func (endless) Is(os.FileInfo) bool               { return false }

// blank is text without end.
type blank struct{}

func (blank) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
