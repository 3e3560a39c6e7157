package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// table returns a CSV of n rows; each cell is what the column's function says for the row.
func table(n int, sep string, names []string, cell func(row, col int) string) string {
	var b strings.Builder
	b.WriteString(strings.Join(names, sep) + "\n")
	for r := range n {
		cells := make([]string, len(names))
		for c := range cells {
			cells[c] = cell(r, c)
		}
		b.WriteString(strings.Join(cells, sep) + "\n")
	}
	return b.String()
}

func yesNo(r int) string { return []string{"No", "Yes", "No"}[r%3] }

func columnNames(s *Spec) (numeric, categorical []string) {
	for _, n := range s.Columns.Numeric {
		numeric = append(numeric, n.Name)
	}
	for _, c := range s.Columns.Categorical {
		categorical = append(categorical, c.Name)
	}
	return numeric, categorical
}

func TestInferPlacesColumns(t *testing.T) {
	names := []string{"cust_id", `"monthly, fee"`, "plan.name", "flag", "zip", "note", "since", "one", "none", "ordre été", "gone", "half", "gone"}
	text := "\ufeff" + strings.ReplaceAll(table(400, ",", names, func(r, c int) string {
		return []string{
			fmt.Sprintf("c-%d", r), fmt.Sprintf(" %d.5", r%90), []string{"gold", "silver", `"a ""b"""`}[r%3], []string{"1.0", "0.0"}[r%2],
			fmt.Sprintf("%05d", r%30), fmt.Sprintf("free text %d", r), fmt.Sprintf("2025-01-%02d", r%28+1), "x", "", fmt.Sprint(r % 4),
			[]string{"", "NA"}[r%2], []string{"", "7"}[r%2], "y",
		}[c]
	}), "\n", "\r\n")
	text = strings.Replace(text, "gone,half,gone", "gone,half,churned", 1)
	text = strings.ReplaceAll(text, ",y\r\n", ",yes\r\n")
	text = strings.Replace(text, ",yes\r\n", ",no\r\n", 150)
	text = strings.Replace(text, " 3.5,", "three,", 1)

	s, notes, err := Infer(iotest.OneByteReader(strings.NewReader(text)), InferOptions{Path: "data/My Customers (2026).csv", Target: "churned"})
	require.NoError(t, err)
	all := strings.Join(notes, "\n")
	numeric, categorical := columnNames(s)
	require.Equal(t, "my-customers-2026", s.Name)
	require.Equal(t, "data/My Customers (2026).csv", s.Dataset.Path)
	require.Equal(t, []string{"monthly, fee", "ordre été"}, numeric)
	require.Equal(t, []string{"plan.name", "flag", "zip", "half"}, categorical)
	require.Equal(t, []string{"cust_id", "note", "since", "one", "none", "gone"}, s.Columns.Ignored)
	require.ElementsMatch(t, []string{"0.0", "1.0"}, s.Columns.Categorical[1].Values)
	require.Empty(t, s.Columns.Categorical[0].Values, "a set that is not rewritten by tools stays open")
	require.Equal(t, Target{"churned", "yes", "no"}, s.Columns.Target)
	require.Empty(t, s.Columns.ID)
	require.False(t, s.Expectations.UniqueID)
	require.Contains(t, all, `"three" in row 4`)
	require.Contains(t, all, "leading zeros")
	require.Contains(t, all, "dates")
	require.Contains(t, all, "--id")
	require.Equal(t, []Threshold{{"roc_auc", 0.5}}, s.Gates.Staging)
	require.Equal(t, Monitor{"monthly, fee", ActionRetrain}, s.Drift.Monitors[0])
	require.Equal(t, ActionRetrain, s.Drift.Performance.Action)
	require.Equal(t, 3, s.Learner.MinChildRows)

	canonical, err := s.Marshal()
	require.NoError(t, err)
	back, err := Parse(canonical)
	require.NoError(t, err)
	require.Equal(t, s, back)
}

func TestInferID(t *testing.T) {
	names := []string{"key", "x", "y"}
	for _, c := range []struct {
		name   string
		id     func(r int) string
		unique bool
		note   string
	}{
		{"unique", func(r int) string { return fmt.Sprint(r) }, true, "it is unique"},
		{"repeated", func(r int) string { return fmt.Sprint(r / 2) }, false, "50 repeated"},
		{"blank", func(r int) string { return map[bool]string{true: fmt.Sprint(r)}[r > 9] }, true, "10 rows have no key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := table(100, ";", names, func(r, col int) string {
				return []string{c.id(r), fmt.Sprint(r), yesNo(r)}[col]
			})
			s, notes, err := Infer(strings.NewReader(text), InferOptions{Target: "y", ID: "key"})
			require.NoError(t, err)
			require.Equal(t, "key", s.Columns.ID)
			require.Equal(t, c.unique, s.Expectations.UniqueID)
			require.Contains(t, strings.Join(notes, "\n"), c.note)
			require.Equal(t, ";", s.Dataset.Delimiter)
			require.Equal(t, "model", s.Name)
			if c.name == "blank" {
				require.InDelta(t, 0.13, s.Expectations.MaxQuarantined, 1e-9, "the rows without an id must not stop training")
			}
		})
	}
}

func TestInferLabels(t *testing.T) {
	for _, c := range []struct {
		positive, negative string // in the data
		option             string
		err                string
	}{
		{positive: "Yes", negative: "No"},
		{positive: "1", negative: "0"},
		{positive: "1.0", negative: "0.0"},
		{positive: "True", negative: "False"},
		{positive: "Churned", negative: "Stayed"},
		{positive: "Attrited Customer", negative: "Existing Customer"},
		{positive: "bad", negative: "good", option: "bad"},
		{positive: "0", negative: "1", option: "0"},
		{positive: "TRUE", negative: "FALSE", option: " true "},
		{positive: "bad", negative: "good", err: `which value is the positive one? There are "good" (67 rows), "bad" (33 rows)`},
		{positive: "bad", negative: "good", option: "ugly", err: `has no value "ugly"; there are "good"`},
		{positive: "yes", negative: "1", err: "both values could be the positive one"},
	} {
		t.Run(c.positive+"/"+c.negative+"/"+c.option, func(t *testing.T) {
			text := table(100, ",", []string{"x", "y"}, func(r, col int) string {
				return []string{fmt.Sprint(r), map[bool]string{true: c.positive, false: c.negative}[r%3 == 1]}[col]
			})
			s, _, err := Infer(strings.NewReader(text), InferOptions{Target: "y", Positive: c.option})
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Target{"y", c.positive, c.negative}, s.Columns.Target)
		})
	}
}

func TestInferErrors(t *testing.T) {
	good := table(10, ",", []string{"x", "y"}, func(r, c int) string { return []string{fmt.Sprint(r), yesNo(r)}[c] })
	for _, c := range []struct{ name, text, target, id, want string }{
		{"empty", "", "y", "", "the file is empty"},
		{"blank", "\n \r\n", "y", "", "the file is empty"},
		{"header only", "x,y\n", "y", "", "a header and no rows"},
		{"no target given", good, "", "", "there are: x, y"},
		{"no such target", good, "z", "", `no target column "z"; there are: x, y`},
		{"no such id", good, "y", "z", `no id column "z"; there are: x, y`},
		{"id is target", good, "y", "y", "both target and id"},
		{"target twice", "y,x,y\nYes,1,No\n", "y", "", "more than once"},
		{"single class", "x,y\n1,No\n2,No\n", "y", "", `single value in all rows: "No" (2 rows)`},
		{"three classes", "x,y\n1,No\n2,Yes\n3,Maybe\n", "y", "", `3 different values, a model of this kind needs exactly two: "Maybe" (1 rows)`},
		{"no labels", "x,y\n1,\n2,NA\n", "y", "", "has no values"},
		{"nothing to learn", "x,y\n1,No\n1,Yes\n", "y", "", "no column is left"},
		{"open quote", "x,y\n1,No\n\"2,Yes\n3,No\n", "y", "", "line 3: a quote is opened"},
		{"compressed", "\x1f\x8b\x08", "y", "", "compressed with gzip"},
		{"workbook", "PK\x03\x04...", "y", "", "an Excel workbook"},
		{"UTF-16", "\xff\xfex\x00", "y", "", "UTF-16 text"},
		{"no row fits", "x,y\n1\n2\n", "y", "", "no row can be read: line 2 has 1 values"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, err := Infer(strings.NewReader(c.text), InferOptions{Target: c.target, ID: c.id})
			require.Nil(t, s)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, _, err := Infer(iotest.ErrReader(os.ErrDeadlineExceeded), InferOptions{Target: "y"})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestInferSaysThatNumbersHaveCommas(t *testing.T) {
	for _, c := range []struct{ name, form string }{
		{"decimal", "%d,50"}, {"thousands", "%d,250.75"}, {"both", "1.%03d,5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := table(300, ";", []string{"price", "n", "y"}, func(r, col int) string {
				return []string{fmt.Sprintf(c.form, r), fmt.Sprint(r % 50), yesNo(r)}[col]
			})
			s, notes, err := Infer(strings.NewReader(text), InferOptions{Target: "y"})
			require.NoError(t, err)
			require.Equal(t, []string{"price"}, s.Columns.Ignored)
			require.Contains(t, strings.Join(notes, "\n"), fmt.Sprintf("written with a comma, the first %q in row 1", fmt.Sprintf(c.form, 0)))
		})
	}
}

func TestInferCountsBadRows(t *testing.T) {
	text := table(100, ",", []string{"x", "y"}, func(r, c int) string { return []string{fmt.Sprint(r), yesNo(r)}[c] })
	text += strings.Repeat("1,No,extra\n", 8) + "a\"b,No\n"
	s, notes, err := Infer(strings.NewReader(text), InferOptions{Target: "y"})
	require.NoError(t, err)
	require.Contains(t, strings.Join(notes, "\n"), "9 rows are no valid CSV")
	require.Greater(t, s.Expectations.MaxQuarantined, 9.0/109)
}

func TestInferManyLevels(t *testing.T) {
	text := table(20_000, "|", []string{"city", "town", "y"}, func(r, c int) string {
		return []string{fmt.Sprintf("city %d", r%500), fmt.Sprintf("town %d", r/2*7), yesNo(r)}[c]
	})
	s, notes, err := Infer(strings.NewReader(text), InferOptions{Target: "y", MaxLevels: 40})
	require.NoError(t, err)
	_, categorical := columnNames(s)
	require.Equal(t, []string{"city"}, categorical)
	require.Equal(t, []string{"town"}, s.Columns.Ignored, "10,000 values in 20,000 rows are no levels")
	require.Equal(t, 40, s.Columns.Categorical[0].MaxLevels)
	require.Contains(t, strings.Join(notes, "\n"), "the 40 most frequent")
	require.Equal(t, 20, s.Learner.MinChildRows)
	require.Equal(t, 5, s.Learner.Folds)
}

// TestInferFewRows holds that in a file of a dozen rows words that all differ are still words.
func TestInferFewRows(t *testing.T) {
	text := table(12, ",", []string{"city", "y"}, func(r, c int) string { return []string{fmt.Sprintf("city %c", 'a'+r), yesNo(r)}[c] })
	s, notes, err := Infer(strings.NewReader(text), InferOptions{Target: "y"})
	require.NoError(t, err)
	_, categorical := columnNames(s)
	require.Equal(t, []string{"city"}, categorical)
	require.Contains(t, strings.Join(notes, "\n"), "Only 4 rows have the rarer label")
	require.Zero(t, s.Learner.Folds, "four rows can't be dealt to five folds")
}

func TestCounterEstimate(t *testing.T) {
	for _, n := range []int{1, 100, 5_000, 200_000} {
		c := newColumn("x")
		for r := range n {
			c.observe(fmt.Sprintf("v%d", r), int64(r))
			c.observe(fmt.Sprintf("v%d", r), int64(r))
		}
		require.InEpsilon(t, n, c.levels(), 0.05, "%d values", n)
		require.LessOrEqual(t, len(c.words), trackedWords)
	}
}

func TestNamedLikeID(t *testing.T) {
	for _, name := range []string{"id", "ID", "customerID", "customer_id", "CustomerId", "uuid", "row id", "RowNumber", "index", "Unnamed: 0", "userid", "sale.guid"} {
		require.True(t, namedLikeID(name), name)
	}
	for _, name := range []string{"paid", "Valid", "grid", "tenure", "index_price", "identity", "VOID"} {
		require.False(t, namedLikeID(name), name)
	}
}

func TestInferTelco(t *testing.T) {
	file := filepath.Join("..", "..", "..", "shared", "data", "Telco-Customer-Churn.csv")
	f, err := os.Open(file)
	if err != nil {
		t.Log("the real file is not here; the tests on made tables stand alone")
		return
	}
	defer f.Close()
	s, _, err := Infer(f, InferOptions{Path: file, Target: "Churn", ID: "customerID"})
	require.NoError(t, err)
	telco := Telco()
	wantNumeric, wantCategorical := columnNames(telco)
	numeric, categorical := columnNames(s)
	require.Equal(t, wantNumeric, numeric)
	require.Equal(t, wantCategorical, categorical)
	require.Equal(t, telco.Columns.Target, s.Columns.Target)
	require.Empty(t, s.Columns.Ignored)
	require.True(t, s.Expectations.UniqueID)
	require.Equal(t, []string{"0", "1"}, s.Columns.Categorical[1].Values)
}

func FuzzInfer(f *testing.F) {
	f.Add([]byte("x,y\n1,No\n2,Yes\n3,No\n"), "y", "")
	f.Add([]byte("\ufeff\"a \"\"b\";c;id\r\n1;True;7\r\n2;False;8\r\n"), "c", "id")
	f.Add([]byte("a\tb\n\x00\t1\n\xff\t0\n"), "b", "")
	f.Add([]byte("_score,y,y\n\n1,2,3\n"), "y", "x")
	f.Fuzz(func(t *testing.T, data []byte, target, id string) {
		s, _, err := Infer(strings.NewReader(string(data)), InferOptions{Path: "a.csv", Target: target, ID: id})
		if err != nil {
			require.Nil(t, s)
			return
		}
		text, err := s.Marshal()
		require.NoError(t, err)
		back, err := Parse(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, s, back)
	})
}
