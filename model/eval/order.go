package eval

import (
	"cmp"
	"math"
	"slices"
)

// radixFrom is the number of rows from which sorting by digits is the faster.
const radixFrom = 512

// order returns the rows with a weight above 0 by score, highest first, rows of equal score in row order. Scores are finite; -0 equals 0.
func order(score, weight []float64) []int32 {
	rows := make([]int32, 0, len(score))
	sorted := true
	for i := range score {
		if weightAt(weight, i) > 0 {
			sorted = sorted && (len(rows) == 0 || score[rows[len(rows)-1]] >= score[i])
			rows = append(rows, int32(i))
		}
	}
	if sorted {
		return rows
	}
	if len(rows) < radixFrom {
		slices.SortFunc(rows, func(a, b int32) int {
			if c := cmp.Compare(score[b], score[a]); c != 0 {
				return c
			}
			return cmp.Compare(a, b)
		})
		return rows
	}
	return radix(rows, score)
}

// entry is a row and the key that sorts it.
type entry struct {
	key uint64
	row int32
}

// key maps finite scores to integers that ascend as the scores descend.
func key(score float64) uint64 {
	bits := math.Float64bits(score + 0) // -0 + 0 is 0
	if bits>>63 == 1 {
		return bits
	}
	return ^bits &^ (1 << 63)
}

// radix sorts rows by key in stable passes of 11 bits from the lowest, leaving out those that all rows share.
func radix(rows []int32, score []float64) []int32 {
	const width, passes = 11, 6
	var count [passes][1 << width]uint32
	from, to := make([]entry, len(rows)), make([]entry, len(rows))
	for i, r := range rows {
		k := key(score[r])
		from[i] = entry{k, r}
		for p := range passes {
			count[p][k>>(p*width)&(1<<width-1)]++
		}
	}
	for p := range passes {
		c := &count[p]
		if c[from[0].key>>(p*width)&(1<<width-1)] == uint32(len(rows)) {
			continue
		}
		sum := uint32(0)
		for d := range c {
			c[d], sum = sum, sum+c[d]
		}
		for _, e := range from {
			d := e.key >> (p * width) & (1<<width - 1)
			to[c[d]] = e
			c[d]++
		}
		from, to = to, from
	}
	for i, e := range from {
		rows[i] = e.row
	}
	return rows
}
