package synth

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/telco-marginals/marginals.json anew from the public file")

const goldenPath = "testdata/telco-marginals/marginals.json"

// marginals sums a file up: the share of each level and the churn rate in it, and the deciles 0 to 10 of each number.
type marginals struct {
	Rows    int                           `json:"rows"`
	Churn   float64                       `json:"churn"`
	Share   map[string]map[string]float64 `json:"share"`
	ChurnBy map[string]map[string]float64 `json:"churn_by"`
	Deciles map[string][]float64          `json:"deciles"`
	Blank   float64                       `json:"blank_total_charges"`
}

var numbers = []string{"tenure", "MonthlyCharges", "TotalCharges"}

func summarize(t *testing.T, next func() ([]string, bool)) marginals {
	t.Helper()
	m := marginals{Share: map[string]map[string]float64{}, ChurnBy: map[string]map[string]float64{}, Deciles: map[string][]float64{}}
	header := Header()
	values := map[string][]float64{}
	for record, ok := next(); ok; record, ok = next() {
		m.Rows++
		churned := record[20] == "Yes"
		m.Churn += is(churned)
		for j, name := range header[:20] {
			switch {
			case j == 0:
			case !slices.Contains(numbers, name):
				if m.Share[name] == nil {
					m.Share[name], m.ChurnBy[name] = map[string]float64{}, map[string]float64{}
				}
				m.Share[name][record[j]]++
				m.ChurnBy[name][record[j]] += is(churned)
			case strings.TrimSpace(record[j]) == "":
				m.Blank++
			default:
				v, err := strconv.ParseFloat(record[j], 64)
				require.NoError(t, err, "%s of %s", name, record[0])
				values[name] = append(values[name], v)
			}
		}
	}
	n := float64(m.Rows)
	m.Churn, m.Blank = round(m.Churn/n), round(m.Blank/n)
	for name, shares := range m.Share {
		for level, count := range shares {
			m.ChurnBy[name][level] = round(m.ChurnBy[name][level] / count)
			shares[level] = round(count / n)
		}
	}
	for name, v := range values {
		slices.Sort(v)
		for d := range 11 {
			m.Deciles[name] = append(m.Deciles[name], v[d*(len(v)-1)/10])
		}
	}
	return m
}

func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// telcoFile returns the path of the public file, or "" where no parent folder has it.
func telcoFile(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		path := filepath.Join(dir, "shared", "data", "Telco-Customer-Churn.csv")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// publicMarginals returns the committed summary of the public file, after holding it against the file where that is at hand.
func publicMarginals(t *testing.T) marginals {
	t.Helper()
	var real marginals
	if path := telcoFile(t); path == "" {
		t.Log("the Telco file is not there: comparing with its committed summary alone")
	} else {
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		in := csv.NewReader(f)
		header, err := in.Read()
		require.NoError(t, err)
		require.Equal(t, Header(), header)
		real = summarize(t, func() ([]string, bool) {
			record, err := in.Read()
			if err != io.EOF {
				require.NoError(t, err)
			}
			return record, err == nil
		})
		if *update {
			raw, err := json.MarshalIndent(real, "", "\t")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(goldenPath, append(raw, '\n'), 0o644))
		}
	}
	raw, err := os.ReadFile(goldenPath)
	require.NoError(t, err)
	var golden marginals
	require.NoError(t, json.Unmarshal(raw, &golden))
	if real.Rows > 0 {
		require.Equal(t, golden, real, "the committed summary is not that of the file: run the test with -update")
	}
	return golden
}

func TestOriginalIsNearThePublicFile(t *testing.T) {
	want := publicMarginals(t)
	g, err := New(Config{Rows: 40_000, Seed: 1, Regime: Original})
	require.NoError(t, err)
	got := summarize(t, g.Next)
	require.InDelta(t, want.Churn, got.Churn, 0.02)
	require.InDelta(t, want.Blank, got.Blank, 0.001)
	for name, shares := range want.Share {
		require.Len(t, got.Share[name], len(shares), name)
		for level, share := range shares {
			require.InDelta(t, share, got.Share[name][level], 0.03, "share of %s %s", name, level)
			require.InDelta(t, want.ChurnBy[name][level], got.ChurnBy[name][level], 0.05, "churn rate of %s %s", name, level)
		}
	}
	// the tolerance grows with the value: 2 months, 4 dollars, 40 dollars, and 6 %
	for name, absolute := range map[string]float64{"tenure": 2, "MonthlyCharges": 4, "TotalCharges": 40} {
		for d := 1; d < 10; d++ {
			require.InDelta(t, want.Deciles[name][d], got.Deciles[name][d], absolute+0.06*want.Deciles[name][d], "decile %d of %s", d, name)
		}
		t.Logf("%s: public %v, generated %v", name, want.Deciles[name], got.Deciles[name])
	}
}
