package gbdt

import (
	"math"
	"slices"
)

// margins are those of the rows of some data while trees are added.
type margins struct {
	data   *Data
	margin []float64
	// factor is what weights are multiplied with by label, inverse the share of the unit that a weight of 1 is, and total the sum of weights
	// in units.
	factor  [2]float64
	inverse float64
	total   float64
	// weighted says that rows differ in weight.
	weighted bool
	sums     []float64
}

func newMargins(d *Data, c classWeights, positiveWeight float64) *margins {
	m := &margins{
		data: d, margin: slices.Clone(d.margin), factor: [2]float64{1, positiveWeight}, inverse: 1 / c.unit, total: c.total / c.unit,
		weighted: d.weight != nil || positiveWeight != 1, sums: make([]float64, blocks(d.Len())),
	}
	if m.margin == nil {
		m.margin = make([]float64, d.Len())
	}
	return m
}

// set gives all rows the same margin.
func (m *margins) set(threads int, margin float64) {
	parallel(threads, blocks(len(m.margin)), func(b int) {
		low, high := block(b, len(m.margin))
		for i := range m.margin[low:high] {
			m.margin[low+i] = margin
		}
	})
}

// add adds a tree's value to the margin of every row. leafOf holds the number of the leaf that a row is known to be in, a negative one if it is
// not; nil says that of no row it is known.
func (m *margins) add(threads int, leafOf []int32, values []float64, hops []hop) {
	parallel(threads, blocks(len(m.margin)), func(b int) {
		low, high := block(b, len(m.margin))
		for i := low; i < high; i++ {
			leaf := int32(-1)
			if leafOf != nil {
				leaf = leafOf[i]
			}
			if leaf < 0 {
				leaf = walk(hops, i)
			}
			m.margin[i] += values[leaf]
		}
	})
}

// derive returns the weighted mean of the rows' loss, the sum running over fixed blocks, and sets pairs, unless it is nil, to the
// derivatives.
func (m *margins) derive(threads int, pairs []pair) (loss float64) {
	parallel(threads, len(m.sums), func(b int) {
		low, high := block(b, len(m.margin))
		var dst []pair
		if pairs != nil {
			dst = pairs[low:high]
		}
		if m.weighted {
			m.sums[b] = m.deriveWeighted(low, high, dst)
		} else {
			m.sums[b] = deriveEqual(m.data.label[low:high], m.margin[low:high], dst)
		}
	})
	for _, s := range m.sums {
		loss += s
	}
	return loss / m.total
}

const (
	// farMargin is where a margin's exponential is cut off: e**-700 is far below all rounding.
	farMargin = 700
	// lossGroup is the number of rows whose product of 1+e**-|margin|, each at most 2, has its logarithm taken at once.
	lossGroup = 512
)

// slope returns e**-|margin|, and the first and second derivative of the loss log(1+e**-margin), or log(1+e**margin) for label 0.
func slope(label uint8, margin float64) (e, g, h float64) {
	e = decay(min(math.Abs(margin), farMargin))
	q := 1 / (1 + e)
	far := float64(e * q) // the probability of the label that the margin is against
	// The probability of 1 is 1-far at or above a margin of 0, else far.
	p := 0.5 + math.Copysign(0.5-far, margin)
	return e, p - float64(label), float64(far * q)
}

// deriveEqual returns the sum of the rows' losses, all of weight 1, and sets dst to their derivatives unless it is nil.
func deriveEqual(labels []uint8, margin []float64, dst []pair) float64 {
	var sum float64
	for low := 0; low < len(labels); low += lossGroup {
		high := min(low+lossGroup, len(labels))
		var group []pair
		if dst != nil {
			group = dst[low:high]
		}
		sum += deriveGroup(labels[low:high], margin[low:high], group)
	}
	return sum
}

// deriveGroup is deriveEqual for up to lossGroup rows. What it does for each is what slope, decay and toPair do, written out because it is done for
// every row and tree.
func deriveGroup(labels []uint8, margin []float64, dst []pair) float64 {
	against, product := 0.0, 1.0
	margin = margin[:len(labels)]
	if dst != nil {
		dst = dst[:len(labels)]
	}
	for i, y := range labels {
		z, label := margin[i], labelValue[y&1]
		size := math.Abs(z)
		x := size
		if x > farMargin {
			x = farMargin
		}
		shifted := float64(x*(log2e*decaySteps)) + roundShift
		k := math.Float64bits(shifted)
		r := float64((shifted-roundShift)*(math.Ln2/decaySteps)) - x
		series := (1 + r) + float64(float64(r*r)*(1.0/2+float64(r*(1.0/6))))
		e := float64(series * math.Float64frombits(math.Float64bits(decayTable[k%decaySteps])-k/decaySteps<<52))
		q := 1 / (1 + e)
		far := float64(e * q)
		if dst != nil {
			p := 0.5 + math.Copysign(0.5-far, z)
			low := math.Float64bits(float64((p-label)*(1<<firstBits)) + roundShift)
			high := math.Float64bits(float64(float64(far*q)*(1<<secondBits)) + roundShift)
			dst[i] = high<<32 | low&(1<<32-1)
		}
		against += size - float64(labelSign[y&1]*z)
		product *= 1 + e
	}
	return float64(0.5*against) + log(product)
}

// labelValue and labelSign are the label as a number, and the sign of the margins that favour it.
var (
	labelValue = [2]float64{0, 1}
	labelSign  = [2]float64{-1, 1}
)

// against returns the magnitude of a margin that is against the label, else 0.
func against(label uint8, margin float64) float64 {
	return float64(0.5 * (math.Abs(margin) - float64(labelSign[label&1]*margin)))
}

// deriveWeighted is deriveEqual for rows low to high-1 with their weights.
func (m *margins) deriveWeighted(low, high int, dst []pair) float64 {
	var sum float64
	for i := low; i < high; i++ {
		y, z := m.data.label[i], m.margin[i]
		w := m.factor[y&1]
		if m.data.weight != nil {
			w *= m.data.weight[i]
		}
		w *= m.inverse
		e, g, h := slope(y, z)
		if dst != nil {
			dst[i-low] = toPair(float64(w*g), float64(w*h))
		}
		sum += float64(w * (against(y, z) + log(1+e)))
	}
	return sum
}

// hop is an inner node as rows of some data are sent down it: to the side that the table holds for the value of the column's lane, or for 0
// where words is nil, as all rows have the same bin.
type hop struct {
	words       []uint64
	shift       uint
	mask        uint16
	side        []uint8
	left, right int32
}

// hops returns the tree's nodes for the rows of d, where the sides of each node's bins are given.
func (d *Data) hops(t *tree, byBin [][]uint8) []hop {
	hops := make([]hop, len(byBin))
	for i, sides := range byBin {
		f := int(t.feature[i])
		h := hop{left: t.left[i], right: t.right[i], side: d.layout.sides(f, sides, nil)}
		if at := d.layout.digits[f].lane; at >= 0 {
			n := &d.layout.lanes[at]
			h.words, h.shift, h.mask = d.words[n.word], n.shift, n.mask()
		}
		hops[i] = h
	}
	return hops
}

// walk returns the number of the leaf that row r falls into.
func walk(hops []hop, r int) int32 {
	at := int32(0)
	if len(hops) == 0 {
		return 0
	}
	for at >= 0 {
		h := &hops[at]
		value := uint16(0)
		if h.words != nil {
			value = uint16(h.words[r]>>(h.shift&63)) & h.mask
		}
		if h.side[value] != 0 {
			at = h.left
		} else {
			at = h.right
		}
	}
	return ^at
}
