package gbdt

// pair is the first and second derivative of the loss at a row, times the row's weight.
type pair struct{ g, h float64 }

// cell is the sum over the rows of one bin.
type cell struct {
	g, h float64
	rows int64
}

// accumulate adds the derivatives of rows, given in the order of rows, to the cells of their bins, for each of two columns. Two
// at a time the additions of one column, which wait for one another where rows share a bin, overlap with those of the other.
func accumulate[T binIndex](cells1, cells2 []cell, bins1, bins2 []T, rows []int32, derivatives []pair) {
	derivatives = derivatives[:len(rows)]
	bins2 = bins2[:len(bins1)]
	for i, r := range rows {
		d := derivatives[i]
		c1, c2 := &cells1[bins1[r]], &cells2[bins2[r]]
		c1.g += d.g
		c1.h += d.h
		c1.rows++
		c2.g += d.g
		c2.h += d.h
		c2.rows++
	}
}

// accumulateAll is accumulate for all rows in order.
func accumulateAll[T binIndex](cells1, cells2 []cell, bins1, bins2 []T, derivatives []pair) {
	derivatives = derivatives[:len(bins1)]
	bins2 = bins2[:len(bins1)]
	for i, d := range derivatives {
		c1, c2 := &cells1[bins1[i]], &cells2[bins2[i]]
		c1.g += d.g
		c1.h += d.h
		c1.rows++
		c2.g += d.g
		c2.h += d.h
		c2.rows++
	}
}

// subtract takes a child's cells from its parent's, which become its sibling's. A bin without rows is exactly zero, so that no
// split is ever chosen for the rounding left in it.
func subtract(parent, child []cell) {
	child = child[:len(parent)]
	for i := range parent {
		p, c := &parent[i], &child[i]
		p.rows -= c.rows
		if p.rows == 0 {
			p.g, p.h = 0, 0
			continue
		}
		p.g -= c.g
		p.h = max(p.h-c.h, 0)
	}
}

// split is a way to divide a leaf's rows: bins up to bin go left, missing values to the left if missingLeft. The sums are those
// of the left side. A gain of zero stands for no split.
type split struct {
	gain        float64
	feature     int
	bin         int
	missingLeft bool
	left        cell
}

// negligible is the share of the children's terms that a gain must exceed: less is the rounding of the sums, as between
// children with the same mean.
const negligible = 1e-10

// bestSplit returns the split of one column with the greatest gain; of equal ones the first by bin, missing values going right
// before left. total holds the leaf's sums. Where the leaf has missing values in the column, one more split sets them apart from all others.
func (p *Params) bestSplit(cells []cell, total cell) split {
	var best split
	last := len(cells) - 1
	missing := cells[last]
	parentTerm := total.g * total.g / (total.h + p.L2)
	try := func(left cell, bin int, missingLeft bool) {
		right := cell{g: total.g - left.g, h: total.h - left.h, rows: total.rows - left.rows}
		if left.rows < int64(p.MinChildRows) || right.rows < int64(p.MinChildRows) ||
			left.h < p.MinChildWeight || right.h < p.MinChildWeight || !(left.h+p.L2 > 0 && right.h+p.L2 > 0) {
			return
		}
		terms := float64(left.g*left.g/(left.h+p.L2)) + float64(right.g*right.g/(right.h+p.L2))
		gain := terms - parentTerm
		if gain > best.gain && gain > p.MinGain && gain > float64(negligible*terms) {
			best = split{gain: gain, bin: bin, missingLeft: missingLeft, left: left}
		}
	}
	var left cell
	for bin, c := range cells[:last] {
		if c.rows == 0 {
			continue
		}
		left.g += c.g
		left.h += c.h
		left.rows += c.rows
		if missing.rows == 0 {
			if left.rows == total.rows {
				break
			}
			try(left, bin, 2*left.rows >= total.rows)
			continue
		}
		try(left, bin, false)
		if left.rows+missing.rows < total.rows {
			try(cell{g: left.g + missing.g, h: left.h + missing.h, rows: left.rows + missing.rows}, bin, true)
		}
	}
	return best
}
