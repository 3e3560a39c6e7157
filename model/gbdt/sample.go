package gbdt

import (
	"math/bits"
	"math/rand/v2"
)

// Streams of the seed: trees take their own number, counted from 0.
const (
	binStream  = 1 << 63
	nodeStream = 1 << 62
)

// below returns a number from 0 to n-1; n must be positive.
func below(random *rand.PCG, n int) int {
	high, _ := bits.Mul64(random.Uint64(), uint64(n))
	return int(high)
}

// choose appends count of the items to dst, each set of that size being as likely, in the order they had.
func choose[E any](random *rand.PCG, dst, items []E, count int) []E {
	for i, item := range items {
		if count == 0 {
			break
		}
		if below(random, len(items)-i) < count {
			dst = append(dst, item)
			count--
		}
	}
	return dst
}

// shareOf returns the number of items that a share of n is, rounded to the nearest and at least 1.
func shareOf(share float64, n int) int {
	return min(n, max(1, int(float64(share*float64(n))+0.5)))
}
