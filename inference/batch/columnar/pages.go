package columnar

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// What a page of a Parquet file may have. Writers make pages of about a megabyte; but a few bytes can stand for any number of equal values, and the library
// takes memory for as many as a page says before it decodes it.
const (
	maxPageBytes  = 128 << 20 // compressed or not
	maxPageValues = 16 << 20
	maxPageHeader = 64 << 10
)

// pages reads the bytes of one column of a row group, and refuses a page beyond these bounds before the library sees its header. Where headers are it knows
// because the library reads on where it stopped, or else begins at a header. It is not safe for concurrent use.
type pages struct {
	r io.ReaderAt
	// next is where the next header is, by where a reading stopped: the library reads the dictionary between two pages, and goes on.
	next map[int64]int64
}

func newPages(r io.ReaderAt) *pages { return &pages{r, map[int64]int64{}} }

// ReadAt reads from the source.
func (g *pages) ReadAt(p []byte, off int64) (int, error) {
	n, err := g.r.ReadAt(p, off)
	end := off + int64(n)
	header, known := g.next[off]
	if !known {
		header = off
	}
	delete(g.next, off)
	for header < end {
		size, herr := g.page(p[header-off:n], end)
		if herr != nil {
			return 0, herr
		}
		header += size
	}
	g.next[end] = header
	return n, err
}

// page returns how long header and page are that begin with these bytes, which go on in the source at end. What is no header is for the library to refuse.
func (g *pages) page(start []byte, end int64) (int64, error) {
	rest := io.MultiReader(bytes.NewReader(start), io.NewSectionReader(g.r, end, maxPageHeader))
	limited := &io.LimitedReader{R: rest, N: int64(len(start)) + maxPageHeader}
	buffered := bufio.NewReaderSize(limited, 1<<10)
	var h format.PageHeader
	if thrift.NewDecoder(new(thrift.CompactProtocol).NewReader(buffered)).Decode(&h) != nil || h.CompressedPageSize < 0 {
		return math.MaxInt64 / 2, nil
	}
	values := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
	if h.CompressedPageSize > maxPageBytes || h.UncompressedPageSize > maxPageBytes || values > maxPageValues {
		return 0, fmt.Errorf("a page has %d bytes, in the file %d, and %d values: more than %d or %d", h.UncompressedPageSize, h.CompressedPageSize, values, maxPageBytes, maxPageValues)
	}
	read := int64(len(start)) + maxPageHeader - limited.N - int64(buffered.Buffered())
	return read + int64(h.CompressedPageSize), nil
}
