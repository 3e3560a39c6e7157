package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	// blockSize is how much text is parsed at once: enough for a few thousand rows, little enough for a second-level cache.
	blockSize = 256 << 10
	// maxRecord bounds a CSV record, which only a quote that is not closed, or a file without line ends, makes so long.
	maxRecord = 64 << 20
)

// block is a piece of a CSV file that begins and ends with whole records.
type block struct {
	data []byte
	eof  bool // the last one
}

// blocks cuts a CSV file into blocks. A quote may hold line ends, so the ends of records are found by CSV's rules from the start of the
// block.
type blocks struct {
	r     io.Reader
	size  int  // of a block, about
	eager bool // hand out what one Read gave, if it ends a record, and wait for no more
	comma []byte
	rest  []byte      // read, and not handed out
	err   error       // of r, io.EOF at the end; no more is read
	free  chan []byte // buffers to use again
}

func newBlocks(r io.Reader, comma string, size int) *blocks {
	return &blocks{r: r, size: size, comma: []byte(comma), free: make(chan []byte, 1)}
}

// next returns the next block, io.EOF behind the last one, a *DataError where a record has no end, and an error of the reader once all
// whole records before it are handed out. The block's memory is the caller's until it gives it to reuse.
func (b *blocks) next() (block, error) {
	data := b.buffer(max(b.size, len(b.rest)))
	data = append(data, b.rest...)
	b.rest = b.rest[:0]
	e := ends{comma: b.comma}
	for {
		var n int
		enough := b.size
		if b.eager {
			enough = 1
		}
		for len(data) < enough+e.tried && b.err == nil {
			data = slices.Grow(data, max(b.size-len(data), b.size/4))
			n, b.err = b.read(data[len(data):cap(data)])
			data = data[:len(data)+n]
		}
		if errors.Is(b.err, io.EOF) {
			if len(data) == 0 {
				return block{}, io.EOF
			}
			if data[len(data)-1] == '\r' { // dropped at the end of a file, as encoding/csv does
				data = data[:len(data)-1]
			}
			b.err, b.rest = errAllRead, nil
			return block{data, true}, nil
		}
		if errors.Is(b.err, errAllRead) {
			return block{}, io.EOF
		}
		if whole := e.find(data); whole > 0 {
			b.rest = append(b.rest, data[whole:]...)
			return block{data[:whole], false}, nil
		}
		if b.err != nil {
			return block{}, b.err
		}
		if len(data) > maxRecord {
			return block{}, noEnd(e.quoteOpen(data), data)
		}
	}
}

// errAllRead stands in blocks.err once the last block is handed out.
var errAllRead = errors.New("all read")

// errNoEnd says that a record is longer than maxRecord. What next returns adds why.
var errNoEnd = fmt.Errorf("a record is longer than %d bytes", maxRecord)

func noEnd(open bool, data []byte) error {
	switch {
	case open:
		return fmt.Errorf("%w: a quote is opened and not closed", errNoEnd)
	case bytes.IndexByte(data, '\r') >= 0:
		return fmt.Errorf("%w: %s", errNoEnd, carriageReturns)
	}
	return fmt.Errorf("%w: its line has no end", errNoEnd)
}

// carriageReturns says what is wrong with a file of an old Mac.
const carriageReturns = "its lines seem to end with carriage returns; want line feeds"

// read is one Read that gave something.
func (b *blocks) read(p []byte) (int, error) {
	for range 100 {
		if n, err := b.r.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// buffer returns an empty buffer of some capacity, one given back if there is any.
func (b *blocks) buffer(size int) []byte {
	select {
	case p := <-b.free:
		return p[:0]
	default:
		return make([]byte, 0, size+size/8)
	}
}

// reuse takes the memory of a block back. It may be called by several goroutines.
func (b *blocks) reuse(k block) {
	select {
	case b.free <- k.data:
	default:
	}
}
