package synth

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"math/bits"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/eval"
)

var regimes = []Regime{Original, Shifted}

func customers(t *testing.T, c Config) []Customer {
	t.Helper()
	g, err := New(c)
	require.NoError(t, err)
	var out []Customer
	for customer, ok := g.NextCustomer(); ok; customer, ok = g.NextCustomer() {
		out = append(out, customer)
	}
	require.Len(t, out, c.Rows)
	return out
}

func written(t *testing.T, c Config) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteCSV(&b, c))
	return b.String()
}

func ExampleWriteCSV() {
	if err := WriteCSV(os.Stdout, Config{Rows: 2, Seed: 42, Regime: Original, IDPrefix: "live-"}); err != nil {
		panic(err)
	}
	// Output:
	// customerID,gender,SeniorCitizen,Partner,Dependents,tenure,PhoneService,MultipleLines,InternetService,OnlineSecurity,OnlineBackup,DeviceProtection,TechSupport,StreamingTV,StreamingMovies,Contract,PaperlessBilling,PaymentMethod,MonthlyCharges,TotalCharges,Churn
	// live-9015-POUVZ,Female,0,No,No,1,Yes,No,DSL,Yes,No,No,No,No,No,Month-to-month,No,Credit card (automatic),49.7,49.7,Yes
	// live-7522-FQPOT,Female,1,Yes,No,59,Yes,No,Fiber optic,Yes,No,No,No,Yes,No,Month-to-month,Yes,Electronic check,83.7,4867.85,Yes
}

func TestSameSeedSameBytes(t *testing.T) {
	for _, r := range regimes {
		c := Config{Rows: 2000, Seed: 7, Regime: r}
		first := written(t, c)
		require.Equal(t, first, written(t, c))
		c.Rows = 500
		require.True(t, strings.HasPrefix(first, written(t, c)), "the first rows depend on the number of rows")
		c.Rows, c.Seed = 2000, 8
		require.NotEqual(t, first, written(t, c))
		c.Rows = 0
		require.Equal(t, strings.Join(Header(), ",")+"\n", written(t, c))
	}
}

func TestIDsAreUnique(t *testing.T) {
	form := regexp.MustCompile(`^[0-9]{4}-[A-Z]{5}$`)
	seen := map[string]bool{}
	for _, seed := range []uint64{0, 1} { // two files of different seeds do not meet here either
		g, err := New(Config{Rows: 100_000, Seed: seed, Regime: Original})
		require.NoError(t, err)
		for c, ok := g.NextCustomer(); ok; c, ok = g.NextCustomer() {
			if seen[c.ID] || !form.MatchString(c.ID) {
				require.Failf(t, "id", "%s is misspelled or there twice", c.ID)
			}
			seen[c.ID] = true
		}
	}
	a, b := uint64(idCount), uint64(idStep)
	for b != 0 {
		a, b = b, a%b
	}
	require.EqualValues(t, 1, a, "the walk over the ids would close early")
	require.Less(t, bits.Len64(idCount+idStep), 64)

	for _, c := range customers(t, Config{Rows: 10, Seed: 1, Regime: Original, IDPrefix: "live-"}) {
		require.Regexp(t, `^live-[0-9]{4}-[A-Z]{5}$`, c.ID)
	}
}

func TestStructureHoldsOnEveryRow(t *testing.T) {
	for _, r := range regimes {
		g, err := New(Config{Rows: 10_000, Seed: 3, Regime: r})
		require.NoError(t, err)
		header := Header()
		blanks := 0
		for record, ok := g.Next(); ok; record, ok = g.Next() {
			row := map[string]string{}
			for i, name := range header {
				row[name] = record[i]
			}
			for _, name := range []string{"OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies"} {
				require.Equal(t, row["InternetService"] == "No", row[name] == "No internet service", "%s: %v", name, row)
				require.Contains(t, []string{"Yes", "No", "No internet service"}, row[name])
			}
			require.Equal(t, row["PhoneService"] == "No", row["MultipleLines"] == "No phone service", "%v", row)
			require.False(t, row["PhoneService"] == "No" && row["InternetService"] != "DSL", "nothing to pay for: %v", row)
			require.Equal(t, row["tenure"] == "0", row["TotalCharges"] == " ", "%v", row)
			if row["TotalCharges"] == " " {
				blanks++
			}
			requireCharges(t, r, row)
		}
		require.InDelta(t, 0.0016, float64(blanks)/10_000, 0.0014)
	}
}

// requireCharges derives the charges from the services and the tenure.
func requireCharges(t *testing.T, r Regime, row map[string]string) {
	t.Helper()
	monthly, err := strconv.ParseFloat(row["MonthlyCharges"], 64)
	require.NoError(t, err)
	list := map[string]float64{"DSL": 25, "Fiber optic": 50, "No": 0}[row["InternetService"]]
	for name, price := range map[string]float64{
		"PhoneService": 20, "MultipleLines": 5, "OnlineSecurity": 5, "OnlineBackup": 5, "DeviceProtection": 5,
		"TechSupport": 5, "StreamingTV": 10, "StreamingMovies": 10,
	} {
		if row[name] == "Yes" {
			list += price
		}
	}
	rise := 1.0
	if r == Shifted {
		rise = 1.3
	}
	require.InDelta(t, list, monthly/rise, 3.06, "%v", row)
	require.InDelta(t, 0, math.Remainder(monthly, 0.05), 1e-9, "%v", row)
	require.GreaterOrEqual(t, monthly, 18.25*rise-0.026)
	if row["tenure"] == "0" {
		return
	}
	months, err := strconv.ParseFloat(row["tenure"], 64)
	require.NoError(t, err)
	total, err := strconv.ParseFloat(row["TotalCharges"], 64)
	require.NoError(t, err)
	if months == 1 {
		require.InDelta(t, monthly/rise, total, 0.026, "%v", row)
	} else {
		require.InDelta(t, months, total/(monthly/rise), 0.6*math.Sqrt(months)+0.002*months+0.01, "%v", row)
	}
}

func TestRegimesShareTheirCustomers(t *testing.T) {
	before := customers(t, Config{Rows: 3000, Seed: 4, Regime: Original})
	after := customers(t, Config{Rows: 3000, Seed: 4, Regime: Shifted})
	churnMoved := 0
	for i := range before {
		a, b := before[i], after[i]
		require.InDelta(t, a.MonthlyCharges*1.3, b.MonthlyCharges, 0.0251, a.ID)
		if a.Churn != b.Churn {
			churnMoved++
		}
		b.MonthlyCharges, b.Churn = a.MonthlyCharges, a.Churn
		require.Equal(t, a.AppendRecord(nil), b.AppendRecord(nil))
	}
	require.Greater(t, churnMoved, 500)
}

func TestLongerContractsHaveLongerTenure(t *testing.T) {
	months, rows := map[string]float64{}, map[string]float64{}
	for _, c := range customers(t, Config{Rows: 20_000, Seed: 5, Regime: Original}) {
		months[c.Contract] += float64(c.Tenure)
		rows[c.Contract]++
	}
	mean := func(contract string) float64 { return months[contract] / rows[contract] }
	require.InDelta(t, 18, mean("Month-to-month"), 2) // 18.0, 42.0 and 56.7 in the public file
	require.InDelta(t, 42, mean("One year"), 2)
	require.InDelta(t, 56.7, mean("Two year"), 2)
}

// TestBestPossibleRanking scores each regime's rows by their true probability, which no model can beat, and the second regime's rows by
// the first regime's probability, which is what a perfect model of the first would answer.
func TestBestPossibleRanking(t *testing.T) {
	rates := map[Regime][2]float64{Original: {0.245, 0.285}, Shifted: {0.25, 0.40}}
	for _, r := range regimes {
		var best, stale, label []float64
		churned := 0.0
		for _, c := range customers(t, Config{Rows: 60_000, Seed: 6, Regime: r}) {
			best = append(best, c.ChurnProbability(r))
			stale = append(stale, c.ChurnProbability(Original))
			label = append(label, is(c.Churn))
			churned += is(c.Churn)
		}
		rate := churned / 60_000
		bestAUC, err := eval.ROCAUC(best, label, nil)
		require.NoError(t, err)
		staleAUC, err := eval.ROCAUC(stale, label, nil)
		require.NoError(t, err)
		bestF1 := f1At(t, best, label)
		t.Logf("%s: churn rate %.4f; best ROC-AUC %.4f, F1 %.4f; by the original relation ROC-AUC %.4f, F1 %.4f at 0.35",
			r, rate, bestAUC, bestF1, staleAUC, f1At(t, stale, label))
		require.GreaterOrEqual(t, rate, rates[r][0])
		require.LessOrEqual(t, rate, rates[r][1])
		require.InDelta(t, 0.86, bestAUC, 0.015)
		if r == Shifted {
			require.LessOrEqual(t, staleAUC, 0.70)
			require.Less(t, f1At(t, stale, label), bestF1-0.2)
		}
		mean := 0.0
		for _, p := range best {
			mean += p / float64(len(best))
		}
		require.InDelta(t, mean, rate, 0.006, "labels do not follow their probabilities")
	}
}

// f1At uses the threshold that a model of the first regime would choose, about 0.35.
func f1At(t *testing.T, score, label []float64) float64 {
	t.Helper()
	f1, err := eval.F1(score, label, nil, 0.35)
	require.NoError(t, err)
	return f1
}

// TestChurnProbabilityAsStated works the formulas of the doc comment out by hand.
func TestChurnProbabilityAsStated(t *testing.T) {
	fiberCustomer := Customer{
		Tenure: 10, Contract: "Month-to-month", InternetService: "Fiber optic", PhoneService: true, PaymentMethod: "Electronic check",
		PaperlessBilling: true, TechSupport: "No", OnlineSecurity: "No", StreamingTV: "Yes", StreamingMovies: "Yes",
		MonthlyCharges: 95, SeniorCitizen: true,
	}
	bound := Customer{
		Tenure: 72, Contract: "Two year", InternetService: "DSL", TechSupport: "Yes", OnlineSecurity: "Yes", StreamingTV: "No",
		StreamingMovies: "No", MonthlyCharges: 115, Dependents: true, PaymentMethod: "Mailed check",
	}
	none := Customer{Tenure: 36, Contract: "One year", InternetService: "No", PhoneService: true, MonthlyCharges: 20}
	e := math.Exp(-1)
	tests := []struct {
		name              string
		c                 Customer
		original, shifted float64
	}{
		{"fiber, monthly", fiberCustomer,
			-2.24 + 0.60 + 0.45 - 0.92*10/72 + 0.30 + 1.75*e + 0.40 + 0.36 + 0.20*2 + 0.36 + 0.25,
			-0.85 + 0.35*10/30 + 0.90*10/72 - 2.20*e - 0.45 + 0.30},
		{"two years, risen charges", bound,
			-2.24 - 0.95 - 0.92 - 0.37 - 0.39 + 0.36*50/30 - 0.12 + 0.65,
			-0.85 + 0.90 + 2.00 + 0.90 - 0.35},
		{"no internet", none,
			-2.24 - 0.50 - 0.46 + 0.36*-1.5,
			-0.85 + 0.60 + 1.60*-1.5 + 0.45},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.InDelta(t, 1/(1+math.Exp(-tt.original)), tt.c.ChurnProbability(Original), 1e-12)
			require.InDelta(t, 1/(1+math.Exp(-tt.shifted)), tt.c.ChurnProbability(Shifted), 1e-12)
		})
	}
	require.Panics(t, func() { bound.ChurnProbability("other") })
}

func TestConfigFaults(t *testing.T) {
	for text, c := range map[string]Config{
		"-1 rows":            {Rows: -1, Regime: Original},
		`unknown regime ""`:  {Rows: 1},
		`unknown regime "x"`: {Rows: 1, Regime: "x"},
		"id prefix":          {Rows: 1, Regime: Original, IDPrefix: "a\nb"},
	} {
		_, err := New(c)
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, WriteCSV(io.Discard, c), text)
	}
}

func TestWrittenCSVReadsBack(t *testing.T) {
	c := Config{Rows: 300, Seed: 9, Regime: Shifted, IDPrefix: `a "quoted", id `}
	records, err := csv.NewReader(strings.NewReader(written(t, c))).ReadAll()
	require.NoError(t, err)
	require.Len(t, records, 301)
	require.Equal(t, Header(), records[0])
	g, err := New(c)
	require.NoError(t, err)
	for i := 1; i < len(records); i++ {
		record, ok := g.Next()
		require.True(t, ok)
		require.Equal(t, record, records[i])
	}
	_, ok := g.Next()
	require.False(t, ok)
	_, ok = g.Next()
	require.False(t, ok, "after the last row there is never another")
}

func TestNextReusesItsSlice(t *testing.T) {
	g, err := New(Config{Rows: 2, Seed: 1, Regime: Original})
	require.NoError(t, err)
	first, _ := g.Next()
	kept := slices.Clone(first)
	second, _ := g.Next()
	require.Same(t, &first[0], &second[0])
	require.NotEqual(t, kept, second)
}

type brokenWriter struct{ left int }

var errBroken = errors.New("disk full")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestWriteFaultIsReported(t *testing.T) {
	for _, room := range []int{0, 100_000} {
		require.ErrorIs(t, WriteCSV(&brokenWriter{left: room}, Config{Rows: 5000, Regime: Original}), errBroken)
	}
}

func BenchmarkWriteCSV(b *testing.B) {
	b.ReportAllocs()
	if err := WriteCSV(io.Discard, Config{Rows: b.N, Seed: 1, Regime: Original}); err != nil {
		b.Fatal(err)
	}
}
