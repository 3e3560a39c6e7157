package gbdt

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
)

// Part is the quantized rows of one chunk, to be put together by [Join].
type Part struct {
	bins     *Bins
	rows     int
	words    [][]uint64 // in the layout of bins
	label    []uint8
	weight   []float64
	weighted bool
	margin   []float64
	stats    []rowStats
	init     *Ensemble
}

func (b *Bins) newPart(rows int, init *Ensemble) *Part {
	part := &Part{
		bins: b, rows: rows, words: make([][]uint64, b.layout.words), label: make([]uint8, rows), stats: emptyStats(len(b.names)), init: init,
	}
	for i := range part.words {
		part.words[i] = make([]uint64, rows)
	}
	if init != nil {
		part.margin = make([]float64, rows)
	}
	return part
}

// Quantize quantizes a chunk of rows on the caller's goroutine; other goroutines may quantize other chunks meanwhile. The part does not share
// memory with the chunk. Its errors are those of the function [Quantize], with rows numbered within the chunk.
func (b *Bins) Quantize(chunk Matrix) (*Part, error) {
	if err := chunk.check(len(b.names)); err != nil {
		return nil, fmt.Errorf("check chunk: %w", err)
	}
	part := b.newPart(chunk.Rows, b.init)
	if chunk.Weight != nil {
		part.weight = make([]float64, chunk.Rows)
	}
	var r reader
	r.open(matrixSource{chunk}, len(b.names))
	e := encoder{bins: b, part: part, stats: part.stats}
	if err := e.encode(&r, 0, chunk.Rows); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	if part.weighted = e.weighted; !e.weighted {
		part.weight = nil
	}
	return part, nil
}

// Join puts parts together in the given order. The rows of the parts are given up while they are copied, so that not much more than one
// copy is held at once, and the parts are empty afterwards. All must come from the same bins, and there must be a row.
func Join(parts ...*Part) (*Data, error) {
	if len(parts) == 0 {
		return nil, errors.New("join: no parts")
	}
	b, rows, weighted := parts[0].bins, 0, false
	whole := &Part{bins: b, words: make([][]uint64, b.layout.words), stats: emptyStats(len(b.names)), init: parts[0].init}
	for i, part := range parts {
		if part.bins != b {
			return nil, fmt.Errorf("join: part %d is of other bins than the first", i)
		}
		if part.rows == 0 {
			return nil, fmt.Errorf("join: part %d was joined before", i)
		}
		rows += part.rows
		weighted = weighted || part.weighted
		for f := range whole.stats {
			whole.stats[f].add(part.stats[f])
		}
	}
	if rows > math.MaxInt32 {
		return nil, fmt.Errorf("join: %d rows, want at most %d", rows, math.MaxInt32)
	}
	whole.rows, whole.weighted = rows, weighted
	for w := range whole.words {
		whole.words[w] = join(parts, rows, func(p *Part) *[]uint64 { return &p.words[w] })
	}
	whole.label = join(parts, rows, func(p *Part) *[]uint8 { return &p.label })
	if weighted {
		for _, part := range parts {
			if part.weight == nil {
				part.weight = slices.Repeat([]float64{1}, part.rows)
			}
		}
		whole.weight = join(parts, rows, func(p *Part) *[]float64 { return &p.weight })
	}
	if whole.init != nil {
		whole.margin = join(parts, rows, func(p *Part) *[]float64 { return &p.margin })
	}
	for _, part := range parts {
		*part = Part{bins: b}
	}
	return b.pack(runtime.GOMAXPROCS(0), whole), nil
}

// join puts one slice of each part together, and takes it from the part.
func join[E any](parts []*Part, rows int, of func(*Part) *[]E) []E {
	if len(parts) == 1 {
		return *of(parts[0])
	}
	all := make([]E, 0, rows)
	for _, part := range parts {
		all = append(all, *of(part)...)
		*of(part) = nil
	}
	return all
}
