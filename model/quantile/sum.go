package quantile

import (
	"math"
	"math/big"
	"math/bits"
)

const (
	limbBits = 32
	// limbs hold every float64: 2,046 exponents and a mantissa of 53 bits, in pieces of 32.
	limbs = 2046/limbBits + 3
	// carryEvery is after how many additions carries are passed on; pieces of 32 bits overflow 63 after 2^31.
	carryEvery = 1 << 30
)

// Sum is an exact sum of float64 values. The zero value is 0. It is not safe for concurrent use; sums of several goroutines are
// joined by Merge.
type Sum struct {
	limb    [limbs]int64 // limb i counts units of 2^(32i-1074)
	pending int          // additions since the last carry
	odd     float64      // sum of the infinities and NaN; 0 where there were none
}

// Add adds a value. An infinity or NaN makes the sum infinite or NaN.
func (s *Sum) Add(v float64) {
	b := math.Float64bits(v)
	exponent := int(b>>52) & 0x7ff
	mantissa := b & (1<<52 - 1)
	switch exponent {
	case 0x7ff:
		s.odd += v
		return
	case 0:
		exponent = 1
	default:
		mantissa |= 1 << 52
	}
	at, shift := (exponent-1)/limbBits, uint(exponent-1)%limbBits
	low, high := mantissa<<shift, mantissa>>(64-shift) // a shift by 64 gives 0
	sign := int64(b) >> 63                             // 0 or -1
	three := s.limb[at : at+3 : at+3]
	three[0] += (int64(low&math.MaxUint32) ^ sign) - sign
	three[1] += (int64(low>>limbBits) ^ sign) - sign
	three[2] += (int64(high) ^ sign) - sign
	if s.pending++; s.pending == carryEvery {
		s.carry()
	}
}

// Merge adds what other holds; other keeps its value and may lose the form of its carries.
func (s *Sum) Merge(other *Sum) {
	s.carry()
	other.carry()
	for i, v := range other.limb {
		s.limb[i] += v
	}
	s.odd += other.odd
	s.pending = 2
}

// carry brings all limbs but the last into [0, 2^32).
func (s *Sum) carry() {
	var c int64
	for i := range limbs - 1 {
		v := s.limb[i] + c
		s.limb[i] = v & math.MaxUint32
		c = v >> limbBits
	}
	s.limb[limbs-1] += c
	s.pending = 0
}

// Float64 returns the sum rounded once, to the nearest float64 and to even in a tie; infinite if it is too great.
func (s *Sum) Float64() float64 {
	if s.odd != 0 { // also NaN
		return s.odd
	}
	s.carry()
	if s.limb[limbs-1] < 0 {
		for i := range s.limb {
			s.limb[i] = -s.limb[i]
		}
		s.carry()
		v := s.magnitude()
		for i := range s.limb {
			s.limb[i] = -s.limb[i]
		}
		return -v
	}
	return s.magnitude()
}

// magnitude rounds a sum that is not negative and has its carries passed on: the 64 highest bits, with a 1 in the last of them
// for any lower bit that is set, round as the whole number does.
func (s *Sum) magnitude() float64 {
	top := limbs - 1
	for top > 2 && s.limb[top] == 0 {
		top--
	}
	exponent := (top-2)*limbBits - 1074 // of limb top-2
	if exponent < -1074+64 || s.limb[top]>>limbBits != 0 {
		return s.slow() // where a float64 has fewer bits, or the sum is far beyond it
	}
	upper := uint64(s.limb[top])<<limbBits | uint64(s.limb[top-1])
	lower := uint64(s.limb[top-2])
	zeros := bits.LeadingZeros64(upper) // fewer than 32: limb top is not 0
	m := upper<<zeros | lower>>(limbBits-zeros)
	rest := lower << (64 - limbBits + zeros)
	for i := 0; i < top-2 && rest == 0; i++ {
		rest = uint64(s.limb[i])
	}
	if rest != 0 {
		m |= 1
	}
	return math.Ldexp(float64(m), exponent+limbBits-zeros)
}

// slow is magnitude by arithmetic of unlimited precision.
func (s *Sum) slow() float64 {
	total := new(big.Int)
	for i := limbs - 1; i >= 0; i-- {
		total.Lsh(total, limbBits)
		total.Add(total, big.NewInt(s.limb[i]))
	}
	f := new(big.Float).SetInt(total) // as many bits as it takes, so exact
	v, _ := f.SetMantExp(f, -1074).Float64()
	return v
}
