package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDecimal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	texts := append([]string{"0", "-0", "+0", "0.1", "1.", ".1", "999999999999999", "0.00000000000001", "-12.5"}, oddCells...)
	for range 5000 {
		texts = append(texts, strconv.FormatFloat(rng.NormFloat64()*math.Pow(10, float64(rng.IntN(20)-10)), 'f', rng.IntN(16), 64))
	}
	read := 0
	for _, text := range texts {
		v, ok := decimal([]byte(text))
		if !ok {
			continue
		}
		read++
		want, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err, text)
		require.Equal(t, math.Float64bits(want), math.Float64bits(v), text)
	}
	require.Greater(t, read, 2500)
	for _, text := range []string{"", ".", "-", "+", "-.", "1..2", "1e5", " 1", "1234567890123456", "12345678.12345678", "x"} {
		_, ok := decimal([]byte(text))
		require.False(t, ok, text)
	}
}

func TestInterner(t *testing.T) {
	var n interner
	want := map[string]uint32{}
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range uint32(5000) {
		b := make([]byte, 1+rng.IntN(24))
		for k := range b {
			b[k] = "ab\x00"[rng.IntN(3)]
		}
		code, found := n.find(b)
		known, ok := want[string(b)]
		require.Equal(t, ok, found, "%q", b)
		if !found {
			n.add(b, i)
			want[string(b)] = i
		} else {
			require.Equal(t, known, code)
		}
	}
	for text, code := range want {
		got, found := n.find([]byte(text))
		require.True(t, found)
		require.Equal(t, code, got)
	}
}

// Texts made to share the hash of who does not know its keys stand next to where they belong, long ones with the same ends as well.
func TestInternerIsNotFlooded(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	short := func(int) []byte { // first ^ rotated last is the same for all
		first := rng.Uint64()
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, first), bits.RotateLeft64(first^0x4141414141414141, -23))
	}
	for name, text := range map[string]func(int) []byte{
		"short":    short,
		"long":     func(i int) []byte { return fmt.Appendf(nil, "http://%08d.example", i) },
		"numbers":  func(i int) []byte { return strconv.AppendInt(nil, int64(i)+1, 10) },
		"multiple": func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i+1)) },
	} {
		t.Run(name, func(t *testing.T) {
			var n interner
			const texts = 1 << 15
			for i := range texts {
				n.add(text(i), uint32(i))
			}
			longest, run := 0, 0
			for _, c := range n.cells {
				if run++; c.length == 0 {
					run = 0
				}
				longest = max(longest, run)
			}
			require.Equal(t, texts, n.used)
			require.Less(t, longest, 500, "cells in a row: to find a text takes no more")
		})
	}
}

func TestDuplicates(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{0, 1, 2, 100, 5000, 300_000} {
		hashes, seen, want := make([]uint64, n), map[uint64]bool{}, int64(0)
		for i := range hashes {
			hashes[i] = rng.Uint64()
			if i > 0 && rng.IntN(3) == 0 {
				hashes[i] = hashes[rng.IntN(i)]
			}
			if seen[hashes[i]] {
				want++
			}
			seen[hashes[i]] = true
		}
		require.Equal(t, want, duplicates(hashes))
	}
	require.Equal(t, int64(99_999), duplicates(make([]uint64, 100_000)))
}

func TestDigestOfAFileIsThatOfItsRows(t *testing.T) {
	h := schemaOf(t, strings.Replace(strings.Replace(fruit, "  id: key\n", "", 1), "[comment]", "[comment, key]", 1))
	table, _, err := Load(t.Context(), strings.NewReader(fruitHeader+"k,-0,,NA,1.0,true,Yes\n"), h, LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, RowDigest(&Row{Num: []float64{0, math.NaN()}, Cat: []string{"", "1", "True"}}), table.ID(0))
	require.Equal(t, "row-309dec23b5a18afc", table.ID(0), "ids of rows that are stored already must not change")
}

// BenchmarkLoad reports, beside the throughput of the machine, that of the processor time spent, which other load disturbs less.
func BenchmarkLoad(b *testing.B) {
	h := telcoSchema(b)
	for _, rows := range []int{7_000, 100_000} {
		text := madeTelco(rows)
		b.Run(fmt.Sprint(rows, " rows"), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				if _, _, err := Load(b.Context(), strings.NewReader(text), h, LoadOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(text))*float64(b.N)/1e6/(cpuTime(b)-before).Seconds(), "MB/cpu-s")
		})
	}
}

// cpuTime returns the processor time that this process has spent, with the collector's.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
