package baseline

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type goldenFile struct {
	Synthetic []struct {
		Name      string    `json:"name"`
		Reference []float64 `json:"reference"`
		Current   []float64 `json:"current"`
		Bins      int       `json:"bins"`
		Edges     []float64 `json:"edges"`
		PSI       float64   `json:"psi"`
	} `json:"synthetic"`
	Chi2 []struct {
		P        float64 `json:"p"`
		DF       int     `json:"df"`
		Quantile float64 `json:"quantile"`
	} `json:"chi2"`
	Telco struct {
		TestRows []int `json:"test_rows"`
		PSI      []struct {
			Column     string  `json:"column"`
			Shift      string  `json:"shift"`
			PSI        float64 `json:"psi"`
			LeftClosed float64 `json:"psi_left_closed"`
		} `json:"psi"`
	} `json:"telco"`
}

func readGolden(t *testing.T) goldenFile {
	t.Helper()
	raw, err := os.ReadFile("testdata/numpy/golden.json")
	require.NoError(t, err)
	var g goldenFile
	require.NoError(t, json.Unmarshal(raw, &g))
	return g
}

// window counts values over the reference's bins.
func window(r *Reference, values []float64) []int64 {
	c := r.NewCounter()
	for _, v := range values {
		c.Add(r.BinNumeric(v))
	}
	return c.Counts()
}

func TestEdgesAndPSIAgreeWithNumPy(t *testing.T) {
	for _, g := range readGolden(t).Synthetic {
		t.Run(g.Name, func(t *testing.T) {
			r, err := FitNumeric("x", g.Reference, g.Bins)
			require.NoError(t, err)
			require.InDeltaSlice(t, g.Edges, r.Edges, 1e-12)
			got, _, err := PSI(&r, window(&r, g.Current), DefaultPSIOptions())
			require.NoError(t, err)
			require.InDelta(t, g.PSI, got, 1e-12)
		})
	}
}

func TestSignificanceBoundAgreesWithSciPy(t *testing.T) {
	for _, g := range readGolden(t).Chi2 {
		got := SignificanceBound(g.DF+1, 2000, 500, g.P)
		require.InEpsilon(t, g.Quantile*(1.0/2000+1.0/500), got, 1e-9, "p %v, %d degrees of freedom", g.P, g.DF)
	}
}

// TestTelcoPSI holds the figures of the Python stack on the real file. That stack closes bins on the left; on negated values our bins are
// its bins, so both conventions are checked, each against its own golden value.
func TestTelcoPSI(t *testing.T) {
	rows := readTelco(t)
	if rows == nil {
		t.Log("the Telco file is not there: only the synthetic golden values were checked")
		return
	}
	g := readGolden(t).Telco
	inTest := make(map[int]bool)
	for _, i := range g.TestRows {
		inTest[i] = true
	}
	shifts := map[string]func(float64) float64{
		"none":  func(v float64) float64 { return v },
		"x1.05": func(v float64) float64 { return v * 1.05 },
		"x1.1":  func(v float64) float64 { return v * 1.1 },
		"x1.3":  func(v float64) float64 { return v * 1.3 },
		"-12":   func(v float64) float64 { return max(v-12, 0) },
	}
	for _, want := range g.PSI {
		t.Run(want.Column+" "+want.Shift, func(t *testing.T) {
			for sign, psi := range map[float64]float64{1: want.PSI, -1: want.LeftClosed} {
				var train, test []float64
				for i, v := range rows[want.Column] {
					if inTest[i] {
						test = append(test, sign*shifts[want.Shift](v))
					} else {
						train = append(train, sign*v)
					}
				}
				r, err := FitNumeric(want.Column, train, 10)
				require.NoError(t, err)
				got, parts, err := PSI(&r, window(&r, test), DefaultPSIOptions())
				require.NoError(t, err)
				require.InDelta(t, psi, got, 1e-9)
				require.Zero(t, parts[len(parts)-1].PSI, "nothing is missing on either side")
			}
		})
	}
}

// readTelco returns the numeric columns of the real file, a blank as 0, or nil where no parent folder has it.
func readTelco(t *testing.T) map[string][]float64 {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for ; ; dir = filepath.Dir(dir) {
		f, err := os.Open(filepath.Join(dir, "shared", "data", "Telco-Customer-Churn.csv"))
		if err != nil {
			if dir == filepath.Dir(dir) {
				return nil
			}
			continue
		}
		defer f.Close()
		records, err := csv.NewReader(f).ReadAll()
		require.NoError(t, err)
		columns := make(map[string][]float64)
		for j, name := range records[0] {
			if name != "MonthlyCharges" && name != "tenure" && name != "TotalCharges" {
				continue
			}
			for _, record := range records[1:] {
				v := 0.0
				if text := strings.TrimSpace(record[j]); text != "" {
					v, err = strconv.ParseFloat(text, 64)
					require.NoError(t, err)
				}
				columns[name] = append(columns[name], v)
			}
		}
		return columns
	}
}
