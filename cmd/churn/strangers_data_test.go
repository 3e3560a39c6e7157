package main

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// people are rows of customers who can be told apart. more adds fields to a row.
func people(n int, header string, more func(i int, left bool) string) string {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	var b strings.Builder
	b.WriteString("id,age,spend,plan,left" + header + "\n")
	for i := range n {
		age, spend := 18+rng.IntN(60), 10+90*rng.Float64()
		p := 0.1
		if spend > 55 {
			p += 0.5
		}
		if age > 50 {
			p += 0.3
		}
		left := rng.Float64() < p
		word := "no"
		if left {
			word = "yes"
		}
		fmt.Fprintf(&b, "c%d,%d,%.2f,%s,%s", i, age, spend, []string{"basic", "plus", "max"}[rng.IntN(3)], word)
		if more != nil {
			b.WriteString("," + more(i, left))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// edit changes every field of a CSV, the header included, which is row 0.
func edit(t *testing.T, text string, change func(row int, column, value string) string) string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	header := append([]string(nil), records[0]...)
	var b strings.Builder
	w := csv.NewWriter(&b)
	for i, r := range records {
		for j := range r {
			r[j] = change(i, header[j], r[j])
		}
		require.NoError(t, w.Write(r))
	}
	w.Flush()
	return b.String()
}

// values replaces the values of one column.
func values(t *testing.T, text, column string, change func(row int, value string) string) string {
	t.Helper()
	return edit(t, text, func(row int, c, v string) string {
		if c != column || row == 0 {
			return v
		}
		return change(row, v)
	})
}

// rename replaces names of columns.
func rename(t *testing.T, text string, names map[string]string) string {
	t.Helper()
	return edit(t, text, func(row int, c, v string) string {
		if to, ok := names[c]; ok && row == 0 {
			return to
		}
		return v
	})
}

// without takes a column away.
func without(t *testing.T, text, column string) string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	at := -1
	for i, name := range records[0] {
		if name == column {
			at = i
		}
	}
	require.NotEqual(t, -1, at)
	var b strings.Builder
	w := csv.NewWriter(&b)
	for _, r := range records {
		require.NoError(t, w.Write(append(r[:at:at], r[at+1:]...)))
	}
	w.Flush()
	return b.String()
}

// labels replaces yes and no.
func labels(t *testing.T, text, yes, no string) string {
	t.Helper()
	return values(t, text, "left", func(_ int, v string) string {
		if v == "yes" {
			return yes
		}
		return no
	})
}

// delimited writes a CSV with another delimiter.
func delimited(t *testing.T, text string, comma rune) string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.Comma = comma
	require.NoError(t, w.WriteAll(records))
	return b.String()
}

// every returns value in each n-th row and what was there in the others.
func every(n int, value string) func(int, string) string {
	return func(row int, was string) string {
		if row%n == 0 {
			return value
		}
		return was
	}
}

func all(value string) func(int, string) string { return every(1, value) }

func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}
