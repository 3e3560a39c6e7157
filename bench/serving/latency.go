package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram holds times by size in buckets 1/32 wide, up to nine minutes. It is safe for concurrent use; the zero value is empty.
type histogram struct {
	buckets [bucketCount]atomic.Uint32
}

const (
	bucketBits  = 5
	bucketCount = 34 << bucketBits
	bucketUnit  = 64 * time.Nanosecond
)

// bucketOf returns the bucket of a time: those under 32 units have one each, then there are 32 to each power of two.
func bucketOf(d time.Duration) int {
	v := uint64(max(0, d) / bucketUnit)
	shift := max(0, bits.Len64(v)-bucketBits-1)
	return min(bucketCount-1, shift<<bucketBits+int(v>>shift))
}

// bucketTime returns the greatest time of a bucket.
func bucketTime(i int) time.Duration {
	shift := max(0, i>>bucketBits-1)
	return time.Duration(uint64(i-shift<<bucketBits+1)<<shift)*bucketUnit - 1
}

func (h *histogram) add(d time.Duration) { h.buckets[bucketOf(d)].Add(1) }

// counts is a histogram that is done.
type counts [bucketCount]uint64

// plus adds what h holds now.
func (c *counts) plus(h *histogram) {
	for i := range h.buckets {
		c[i] += uint64(h.buckets[i].Load())
	}
}

func (c *counts) total() (n uint64) {
	for _, v := range c {
		n += v
	}
	return n
}

// quantile returns the time that a share of all does not exceed, to 1/32; 0 for none.
func (c *counts) quantile(share float64) time.Duration {
	rank := uint64(share*float64(c.total())+0.9999999) - 0
	var sum uint64
	for i, v := range c {
		if sum += v; v > 0 && sum >= rank {
			return bucketTime(i)
		}
	}
	return 0
}

// over returns how many took longer than a bucket that ends at or after d.
func (c *counts) over(d time.Duration) (n uint64) {
	for i := bucketOf(d) + 1; i < bucketCount; i++ {
		n += c[i]
	}
	return n
}
