package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

// rewritten writes rows of a table and reads them back.
func rewritten(t testing.TB, table *Table, rows []int) *Table {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, table.WriteCSV(&b, rows))
	if table.Len() == 0 || rows != nil && len(rows) == 0 {
		return NewTable(table.Schema())
	}
	back, report, err := Load(context.Background(), &b, table.Schema(), LoadOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Faults)
	return back
}

func sameTable(t testing.TB, want, got *Table) {
	t.Helper()
	require.Equal(t, want.Len(), got.Len())
	a, b := want.Schema().NewRow(), got.Schema().NewRow()
	for i := range want.Len() {
		sameRow(t, want.Row(i, a), got.Row(i, b))
	}
}

// fruits returns a file of n good rows, a third of them positive.
func fruits(n int) string {
	var b strings.Builder
	b.WriteString(fruitHeader)
	for i := range n {
		fmt.Fprintf(&b, "k%d,%d,%d.5,kind %d,%d,True,%s\n", i, i%900, i, i%7, i%2, []string{"Yes", "No", "No"}[i%3])
	}
	return b.String()
}

func TestLoad(t *testing.T) {
	h := schemaOf(t, fruit)
	text := fruits(300) + "k0,1,1,x,1,True,Yes\nbad,heavy,1,x,1,True,Yes\nbad,-1,1,x,1,True,Yes\nodd,1,1,x,2,True,No\n"
	table, report, err := Load(t.Context(), strings.NewReader(text), h, LoadOptions{
		ReaderOptions: ReaderOptions{RequireLabel: true}, MaxQuarantined: 0.01, Keep: 1,
	})
	require.NoError(t, err)
	require.Equal(t, 302, table.Len())
	require.Equal(t, h, table.Schema())
	require.Equal(t, []int64{304, 2, 101, 302, 1}, []int64{report.Rows, report.Quarantined, report.Positives, report.Labelled, report.DuplicateIDs})
	require.Equal(t, []string{"type/weight"}, rules(report.Faults), "only the first fault is kept")
	require.Equal(t, map[string]int64{"type/weight": 1, "range/weight": 1}, report.FaultCounts)
	require.Equal(t, map[string]int64{"set/organic": 1}, report.WarningCounts)
	require.True(t, report.Success)
	require.Equal(t, "k7", table.ID(7))
	require.Equal(t, 7.5, table.Numeric(1)[7])
	require.Equal(t, "kind 0", table.Category(0, 7))
	require.Equal(t, map[string]int{"": 0, "0": 150, "1": 151, "2": 1}, table.Categories(1))
	text2, err := json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, string(text2), `"fault_counts":{"range/weight":1,"type/weight":1}`)
}

func TestLoadQuarantine(t *testing.T) {
	h := schemaOf(t, fruit)
	bad := "k,heavy,1,x,1,True,Yes\n"
	for _, c := range []struct {
		name string
		text string
		most float64
		read int64 // rows looked at; 0 = no error
	}{
		{"at the limit", fruits(95) + strings.Repeat(bad, 5), 0.05, 0},
		{"beyond it", fruits(94) + strings.Repeat(bad, 6), 0.05, 100},
		{"none tolerated", fruits(10) + bad, 0, 11},
		{"many early, few in all", fruitHeader + strings.Repeat(bad, 30) + strings.TrimPrefix(fruits(970), fruitHeader), 0.05, 0},
		{"too many of the first thousand", fruitHeader + strings.Repeat(bad, 5000), 0.05, 1000},
		{"all faulty", fruitHeader + strings.Repeat(bad, 3), 1, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, report, err := Load(t.Context(), strings.NewReader(c.text), h, LoadOptions{MaxQuarantined: c.most})
			if c.read == 0 {
				require.NoError(t, err)
				return
			}
			var data *DataError
			require.ErrorAs(t, err, &data)
			require.NotEmpty(t, data.Faults)
			require.Equal(t, c.read, report.Rows)
			require.False(t, report.Success)
			require.Contains(t, err.Error(), `want a number, got "heavy"`)
		})
	}
}

func TestLoadRefusesHeader(t *testing.T) {
	h := schemaOf(t, fruit)
	_, report, err := Load(t.Context(), strings.NewReader("key\nk\n"), h, LoadOptions{})
	require.ErrorContains(t, err, "the column is missing")
	require.Equal(t, int64(1), report.FaultCounts["missing_column/weight"])
}

func TestLoadOfBlankJSONLines(t *testing.T) {
	h := schemaOf(t, fruit)
	_, _, err := Load(t.Context(), strings.NewReader(" \n\t\n"), h, LoadOptions{ReaderOptions: ReaderOptions{Format: spec.FormatJSONL}})
	require.ErrorContains(t, err, "the file has no rows")
}

func TestLoadStopsWithItsContext(t *testing.T) {
	h := schemaOf(t, fruit)
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(pw, fruits(2000))
		cancel()
		_, _ = io.WriteString(pw, strings.TrimPrefix(fruits(4000), fruitHeader))
		_ = pw.Close()
	}()
	_, _, err := Load(ctx, pr, h, LoadOptions{})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, pr.Close())
	<-done
}

func TestCheck(t *testing.T) {
	h := schemaOf(t, fruit)
	base := spec.Expectations{PositiveShareMax: 1, MaxQuarantined: 0.5, MaxUnseen: 0.01}
	for _, c := range []struct {
		name, rows string
		edit       func(*spec.Expectations)
		want       string // expectation/column that fails, "" = none
		observed   string
	}{
		{"good", "", func(e *spec.Expectations) { e.UniqueID = true; e.NotNull = []spec.NotNull{{Column: "kind", Mostly: 1}} }, "", ""},
		{"too few", "", func(e *spec.Expectations) { e.MinRows = 301 }, "row_count/", "300 usable rows"},
		{"enough", "", func(e *spec.Expectations) { e.MinRows = 300 }, "", ""},
		{"ids", "k1,1,1,x,1,True,No\n", func(e *spec.Expectations) { e.UniqueID = true }, "unique_id/key", "1 rows repeat an id"},
		{"few positives", "", func(e *spec.Expectations) { e.PositiveShareMin = 0.34 }, "positive_share/rotten", "100 of 300 labels (33.333 %) are Yes"},
		{"many positives", "", func(e *spec.Expectations) { e.PositiveShareMax = 0.33 }, "positive_share/rotten", "33.333 %"},
		{"faulty rows", "k,x,1,x,1,True,No\n", func(e *spec.Expectations) { e.MaxQuarantined = 0.001 }, "quarantined_share/", "1 of 301 rows"},
		{"blanks", "z,,1,,1,True,No\n", func(e *spec.Expectations) { e.NotNull = []spec.NotNull{{Column: "weight", Mostly: 1}} }, "not_null/weight", "1 of 301 values"},
		{"mostly", "z,,1,,1,True,No\n", func(e *spec.Expectations) { e.NotNull = []spec.NotNull{{Column: "kind", Mostly: 0.99}} }, "", ""},
		{"words blank", "z,,1,,1,True,No\n", func(e *spec.Expectations) { e.NotNull = []spec.NotNull{{Column: "kind", Mostly: 1}} }, "not_null/kind", "1 of 301"},
		{"unseen at the limit", strings.Repeat("z,1,1,x,9,True,No\n", 3), func(e *spec.Expectations) { e.MaxUnseen = 3.0 / 303 }, "", ""},
		{"unseen", strings.Repeat("z,1,1,x,9,True,No\n", 4), nil, "in_set/organic", `4 of 304 values (1.316 %) are outside the closed set ("9")`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := base
			if c.edit != nil {
				c.edit(&e)
			}
			table, report, err := Load(t.Context(), strings.NewReader(fruits(300)+c.rows), h,
				LoadOptions{ReaderOptions: ReaderOptions{RequireLabel: true}, MaxQuarantined: 0.5})
			require.NoError(t, err)
			err = Check(table, report, e)
			if c.want == "" {
				require.NoError(t, err)
				require.True(t, report.Success)
				return
			}
			var data *DataError
			require.ErrorAs(t, err, &data)
			require.Len(t, data.Failed, 1)
			require.Equal(t, c.want, data.Failed[0].Expectation+"/"+data.Failed[0].Column)
			require.Contains(t, err.Error(), c.observed)
			require.False(t, report.Success)
			require.Contains(t, report.Expectations, data.Failed[0])
		})
	}
}

func TestCheckClasses(t *testing.T) {
	h := schemaOf(t, fruit)
	for _, c := range []struct{ label, want string }{
		{"No", "single class: all 40 labels are No"}, {"Yes", "single class: all 40 labels are Yes"}, {"", "no row has a label"},
	} {
		text := fruitHeader + strings.Repeat("k,1,1,x,1,True,"+c.label+"\n", 40)
		table, report, err := Load(t.Context(), strings.NewReader(text), h, LoadOptions{})
		require.NoError(t, err)
		err = Check(table, report, spec.Expectations{PositiveShareMin: 0.1, PositiveShareMax: 0.5, UniqueID: true})
		require.ErrorContains(t, err, c.want)
		require.Len(t, report.Expectations, 3, "what would follow from it is not listed")
	}
	err := Check(NewTable(h), &Report{}, spec.Expectations{})
	require.ErrorContains(t, err, "0 usable rows, want at least 1")
}

func TestTableRoundTrip(t *testing.T) {
	h := schemaOf(t, fruit)
	table := NewTable(h)
	for i, v := range oddNumbers {
		for j, w := range oddWords {
			if strings.TrimSpace(w) == w && w != "-" {
				table.Append(&Row{
					ID: fmt.Sprintf("%d-%d%s!", i, j, w), Num: []float64{float64(i), v}, Cat: []string{w, "1", ""},
					Label: []float64{0, 1, math.NaN()}[(i+j)%3],
				})
			}
		}
	}
	sameTable(t, table, rewritten(t, table, nil))
	some := rewritten(t, table, []int{5, 2, 5})
	require.Equal(t, 3, some.Len())
	require.Equal(t, []string{table.ID(5), table.ID(2), table.ID(5)}, []string{some.ID(0), some.ID(1), some.ID(2)})
}

func TestWriteCSVGivesAnIDToEveryRow(t *testing.T) {
	h := schemaOf(t, fruit)
	table := NewTable(h)
	row := &Row{Num: []float64{1, 2}, Cat: []string{"a", "1", "True"}, Label: 1}
	table.Append(row)
	var b bytes.Buffer
	require.NoError(t, table.WriteCSV(&b, nil))
	back, _, err := Load(t.Context(), &b, h, LoadOptions{ReaderOptions: ReaderOptions{RequireLabel: true}})
	require.NoError(t, err)
	require.Equal(t, RowDigest(row), back.ID(0))
	require.ErrorIs(t, table.WriteCSV(failing{}, nil), io.ErrShortWrite)
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestTableWidens crosses the numbers of words that fit one byte and two.
func TestTableWidens(t *testing.T) {
	h := schemaOf(t, fruit)
	table := NewTable(h)
	words := func(i int) string { return fmt.Sprintf("w%d", i*7%1000) }
	for i := range 3000 {
		table.Append(&Row{ID: "k", Num: []float64{0, 0}, Cat: []string{words(i), "1", fmt.Sprint(i)}, Label: math.NaN()})
	}
	for i := range 70_000 {
		table.Append(&Row{ID: "k", Num: []float64{0, 0}, Cat: []string{"w0", "1", fmt.Sprint(i)}, Label: math.NaN()})
		if i%7000 == 0 {
			require.Equal(t, fmt.Sprint(i), table.Category(2, 3000+i))
		}
	}
	for i := 0; i < 70_000; i += 13 {
		require.Equal(t, fmt.Sprint(i), table.Category(2, 3000+i))
	}
	codes := table.Codes(2)
	require.Equal(t, table.Len(), codes.Len())
	require.Equal(t, "2999", table.Words(2)[codes.At(2999)])
	for i := range 3000 {
		require.Equal(t, words(i), table.Category(0, i))
	}
	require.Equal(t, 3, table.Categories(0)["w7"])
	require.Len(t, table.Categories(0), 1001)
	require.True(t, math.IsNaN(table.Label(0)))
	row := h.NewRow()
	require.Zero(t, testing.AllocsPerRun(100, func() { table.Row(17, row) }))
}

func telcoFile(t testing.TB) (io.ReadCloser, bool) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "Telco-Customer-Churn.csv"))
	if err != nil {
		return io.NopCloser(strings.NewReader(madeTelco(2000))), false
	}
	return f, true
}

// madeTelco returns rows that fit the Telco spec.
func madeTelco(n int) string {
	s := spec.Telco()
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("customerID,tenure,MonthlyCharges,TotalCharges")
	for _, c := range s.Columns.Categorical {
		b.WriteString("," + c.Name)
	}
	b.WriteString(",Churn\n")
	for i := range n {
		tenure, monthly := r.IntN(73), 20+r.Float64()*100
		total := ""
		if tenure > 0 {
			total = fmt.Sprintf("%.2f", float64(tenure)*monthly)
		} else if i%2 == 0 {
			tenure, total = 1, "20"
		}
		fmt.Fprintf(&b, "c%d,%d,%.2f,%s", i, tenure, monthly, total)
		for _, c := range s.Columns.Categorical {
			b.WriteString("," + c.Values[r.IntN(len(c.Values))])
		}
		b.WriteString("," + []string{"Yes", "No", "No"}[i%3] + "\n")
	}
	return b.String()
}

func TestTelcoFile(t *testing.T) {
	f, real := telcoFile(t)
	defer f.Close()
	h := telcoSchema(t)
	table, report, err := Load(t.Context(), f, h, LoadOptions{ReaderOptions: ReaderOptions{RequireLabel: true}})
	require.NoError(t, err)
	require.Empty(t, report.Warnings)
	require.NoError(t, Check(table, report, spec.Telco().Expectations))
	for _, x := range report.Expectations {
		require.True(t, x.Success, "%s", x)
	}
	if real {
		require.Equal(t, []int64{7043, 0, 1869, 0}, []int64{report.Rows, report.Quarantined, report.Positives, report.DuplicateIDs})
		missing := 0
		for i, v := range table.Numeric(2) {
			if math.IsNaN(v) {
				missing++
				require.Zero(t, table.Numeric(0)[i], "TotalCharges is blank for tenure 0 alone")
			}
		}
		require.Equal(t, 11, missing)
	} else {
		t.Log("the real file is not here; rows were made")
	}
	sameTable(t, table, rewritten(t, table, nil))

	row, back := h.NewRow(), h.NewRow()
	var lines bytes.Buffer
	for i := range table.Len() {
		text := h.AppendJSON(nil, table.Row(i, row), true)
		lines.Write(append(text, '\n'))
		_, err := h.DecodeJSON(text, back, DecodeOptions{RequireLabel: true, Strict: true})
		require.NoError(t, err)
		sameRow(t, row, back)
	}
	again, _, err := Load(t.Context(), &lines, h, LoadOptions{})
	require.NoError(t, err)
	sameTable(t, table, again)
}

// TestStrangersFile infers a spec for an awkward file and loads the file by it.
func TestStrangersFile(t *testing.T) {
	var b strings.Builder
	b.WriteString("\ufeffSubscriber Id;\"Monat; Gebühr\";plan.type;active;exited\r\n")
	for i := range 500 {
		fee := fmt.Sprintf(" %d.25", i%97)
		if i == 40 {
			fee = "viel"
		}
		fmt.Fprintf(&b, "S-%03d;%s;\"%s \"\"x\"\"\";%s;%s\r\n", i, fee, []string{"gold", "", "NA"}[i%3], []string{"True", "False"}[i%2], []string{"0.0", "1.0", "0.0", "0.0"}[i%4])
	}
	for _, id := range []string{"", "Subscriber Id"} {
		s, notes, err := spec.Infer(strings.NewReader(b.String()), spec.InferOptions{Path: "subs.csv", Target: "exited", ID: id})
		require.NoError(t, err)
		h, err := NewSchema(s)
		require.NoError(t, err)
		table, report, err := Load(t.Context(), strings.NewReader(b.String()), h, LoadOptions{
			ReaderOptions: ReaderOptions{RequireLabel: true, Delimiter: s.Dataset.Comma()}, MaxQuarantined: s.Expectations.MaxQuarantined,
		})
		require.NoError(t, err, "%q", notes)
		require.NoError(t, Check(table, report, s.Expectations))
		require.Equal(t, []int64{500, 1, 125, 0}, []int64{report.Rows, report.Quarantined, report.Positives, report.DuplicateIDs})
		require.Equal(t, []string{"Monat; Gebühr"}, h.Numeric())
		require.Equal(t, []string{"plan.type", "active"}, h.Categorical())
		row := h.NewRow()
		warnings, err := h.DecodeJSON([]byte(`{"Subscriber Id":"S-1","Monat; Gebühr":"3","plan.type":"gold \"x\"","active":true}`), row, DecodeOptions{Strict: true})
		require.NoError(t, err)
		require.Empty(t, warnings)
		require.Equal(t, "True", row.Cat[1], "a request's true is the file's True")
		require.NotEmpty(t, row.ID)
	}
}
