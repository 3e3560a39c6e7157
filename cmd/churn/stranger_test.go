package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
)

// stranger is a CSV as people have them, and what must become of it: it is trained on, promoted and served, or an error says what is wrong.
type stranger struct {
	name string
	file string // of the data, data.csv by default
	csv  string
	args []string // of init, beside --data and --target left
	// target is the column to predict, left by default.
	target string
	// refused is in the error of init, notes are in what it says beside the spec.
	refused string
	notes   []string
	// later replaces the data after init.
	later string
	// failed is in the reason of the first run, on the screen and in the trainer's status; empty for data that is served.
	failed []string
	// gate replaces the ROC-AUC that the spec asks for.
	gate string
	// rejected is on the screen beside the first version's verdict; empty for data that is served.
	rejected string
	// screen is shown besides.
	screen string
	// ask changes the record that is sent.
	ask func(record map[string]any)
}

// TestStrangersCSV plays every file without the race detector. Under it, where a loop costs ten times as much, it plays one file of each
// fate: how a file is read is the same for all, and nothing in it is concurrent.
func TestStrangersCSV(t *testing.T) {
	all := append(strangersForms(t), strangersContents(t)...)
	played := map[fate]bool{}
	for _, s := range all {
		if raceEnabled && played[s.fate()] {
			continue
		}
		played[s.fate()] = true
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.play(t)
		})
	}
	require.Len(t, played, 6, "served, failed or rejected, with the data as init saw it or another, and refused by init")
	if raceEnabled {
		t.Logf("%d of %d files are played under the race detector", len(played), len(all))
	}
}

// fate is what becomes of a file.
type fate struct{ refused, failed, rejected, changed bool }

func (s stranger) fate() fate {
	return fate{refused: s.refused != "", failed: s.failed != nil, rejected: s.rejected != "", changed: s.later != ""}
}

func (s stranger) play(t *testing.T) {
	dir := t.TempDir()
	if s.file == "" {
		s.file = "data.csv"
	}
	if s.target == "" {
		s.target = "left"
	}
	data := filepath.Join(dir, s.file)
	require.NoError(t, os.WriteFile(data, []byte(s.csv), 0o600))
	out, notes, err := churn(t, append([]string{"init", "--data", data, "--target", s.target}, s.args...)...)
	if s.refused != "" {
		require.ErrorContains(t, err, s.refused)
		require.ErrorContains(t, err, s.file)
		require.Empty(t, out, "nothing that looks like a spec is written")
		return
	}
	require.NoError(t, err)
	for _, n := range s.notes {
		require.Contains(t, notes, n)
	}
	if s.gate != "" {
		require.Equal(t, 1, strings.Count(out, "min: 0.5"))
		out = strings.Replace(out, "min: 0.5", "min: "+s.gate, 1)
	}
	require.Equal(t, 1, strings.Count(out, "trees: 200"))
	out = strings.Replace(out, "trees: 200", "trees: 30", 1) // a score will do; how good it is is asked elsewhere
	path := filepath.Join(dir, "spec of mine.yaml")
	require.NoError(t, os.WriteFile(path, []byte(out), 0o600))
	if s.later != "" {
		require.NoError(t, os.WriteFile(data, []byte(s.later), 0o600))
	}

	l := up(t, "--spec", path)
	if s.failed != nil {
		l.wait("failed")
		bustest.Eventually(t, func() bool { return strings.Contains(l.waiting(), "the last run failed") }, "the trainer's status does not say that the run failed")
		for _, text := range s.failed {
			require.Contains(t, l.screen.String(), text)
			require.Contains(t, l.waiting(), text)
		}
		return
	}
	if s.rejected != "" {
		l.wait("rejected version 1")
		l.wait(s.rejected)
		l.wait("nothing is served yet")
		return
	}
	l.wait("promoted version 1")
	l.wait("serving version 1")
	if s.screen != "" {
		require.Contains(t, l.screen.String(), s.screen)
	}
	record, _, err := churn(t, "example", "--spec", path)
	require.NoError(t, err)
	if s.ask != nil {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(record), &fields))
		s.ask(fields)
		changed, err := json.Marshal(fields)
		require.NoError(t, err)
		record = string(changed)
	}
	code, body := l.ask(record)
	require.Equal(t, 200, code, "%s\n%s", record, body)
	require.Contains(t, body, `"churn_probability"`)
}

// strangersForms are files that differ in how they are written.
func strangersForms(t *testing.T) []stranger {
	plain := people(400, "", nil)
	id := []string{"--id", "id"}
	wide := people(300, ","+strings.Join(numbered("f", 200), ","), func(i int, _ bool) string {
		return strings.Join(numbered(fmt.Sprint(i), 200), ",")
	})
	return []stranger{
		{name: "with an id", csv: plain, args: id, notes: []string{`Column "id" is the id; it is unique`}},
		{name: "without an id", csv: plain, notes: []string{"There is no id column", `Column "id" is ignored`}},
		{name: "quoted commas, quotes and line breaks", args: id, csv: values(t, plain, "plan", func(row int, v string) string {
			return []string{"a, b", "say \"hi\"", "two\nlines"}[row%3]
		}), ask: func(r map[string]any) { r["plan"] = "two\nlines" }},
		{name: "CRLF", csv: strings.ReplaceAll(plain, "\n", "\r\n"), args: id},
		{name: "byte-order mark", csv: "\ufeff" + plain, args: id},
		{name: "byte-order mark, CRLF and quoted header", csv: "\ufeff" + strings.ReplaceAll(strings.Replace(plain, "id,age", `"id","age"`, 1), "\n", "\r\n"), args: id},
		{name: "semicolons", csv: delimited(t, plain, ';'), args: id, notes: []string{`The delimiter is ";"`}},
		{name: "tabs", file: "data.tsv", csv: delimited(t, plain, '\t'), args: id},
		{name: "blank lines around", csv: "\n\n" + plain + "\n\n", args: id},
		{name: "no line break at the end", csv: strings.TrimSuffix(plain, "\n"), args: id},
		{name: "spaces around values", csv: edit(t, plain, func(_ int, _, v string) string { return " " + v + " " }), args: id},
		{name: "odd column names", args: []string{"--id", "Kunden Nr."}, target: "left? 💔",
			csv:   rename(t, plain, map[string]string{"id": "Kunden Nr.", "age": "Größe (\"cm\")", "spend": "spend.per.month", "plan": "plan 🎯", "left": "left? 💔"}),
			notes: []string{`The target is "left? 💔"`}},
		{name: "file name with spaces and umlauts", file: "Über unsere Kunden 2026.csv", csv: plain, args: id},
		{name: "200 columns", csv: wide, args: id},
		{name: "a column twice", csv: rename(t, plain, map[string]string{"plan": "age"}), args: id, notes: []string{`Column "age" is there more than once`}},
		{name: "the target twice", csv: rename(t, plain, map[string]string{"plan": "left"}), args: id, refused: `column "left" is there more than once`},
		{name: "a column without a name", csv: rename(t, plain, map[string]string{"plan": ""}), args: id, notes: []string{"without a name"}},
		{name: "an index column without a name", csv: edit(t, plain, func(row int, c, v string) string {
			if c == "id" && row == 0 {
				return ""
			}
			return v
		}), notes: []string{"without a name"}},
		{name: "short rows", csv: strings.Replace(plain, "c7,", "c7,extra,", 1) + "c9999,30\n", args: id, screen: "2 faulty rows were left out"},
		{name: "an open quote", csv: plain + "c9999,30,\"12\n" + plain, args: id, refused: "a quote is opened"},
		{name: "an empty file", csv: "", refused: "the file is empty"},
		{name: "only blank lines", csv: "\n\r\n\n", refused: "the file is empty"},
		{name: "a header alone", csv: "id,age,left\n", refused: "a header and no rows"},
		{name: "no such target", csv: plain, target: "churned", refused: `there is no target column "churned"; there are: id, age, spend, plan, left`},
		{name: "no such id", csv: plain, args: []string{"--id", "key"}, refused: `there is no id column "key"; there are: id, age`},
		{name: "compressed", csv: "\x1f\x8b\x08\x00rubbish", refused: "gzip"},
		{name: "a workbook", file: "data.xlsx", csv: "PK\x03\x04rubbish", refused: "Excel"},
		{name: "UTF-16", csv: "\xff\xfei\x00d\x00,\x00", refused: "UTF-16"},
		{name: "Latin-1", csv: strings.ReplaceAll(plain, "basic", "Gr\xf6\xdfe"), args: id},
	}
}

// strangersContents are files that differ in what they hold.
func strangersContents(t *testing.T) []stranger {
	plain := people(400, "", nil)
	id := []string{"--id", "id"}
	return []stranger{
		{name: "blank numbers", csv: values(t, plain, "age", every(5, " ")), args: id, ask: func(r map[string]any) { r["age"] = nil }},
		{name: "unseen category at prediction time", csv: plain, args: id, ask: func(r map[string]any) { r["plan"] = "enterprise" }},
		{name: "numbers as text at prediction time", csv: plain, args: id, ask: func(r map[string]any) { r["age"], r["spend"] = "41", " 12.50 " }},
		{name: "a column too many later", csv: plain, args: id, later: people(400, ",extra", func(int, bool) string { return "x" })},
		{name: "a column missing later", csv: plain, args: id, later: without(t, plain, "spend"), failed: []string{"in step validate", "column spend", "missing"}},
		{name: "the target missing later", csv: plain, args: id, later: without(t, plain, "left"), failed: []string{"in step validate", "column left", "missing"}},
		{name: "little text in a number", csv: values(t, plain, "spend", every(200, "much")), args: id,
			notes: []string{`Column "spend" is numeric but for 2 values, the first "much" in row 200`}, screen: "2 faulty rows were left out"},
		{name: "much text in a number", csv: plain, args: id, later: values(t, plain, "spend", every(4, "much")),
			failed: []string{"100 of 400 rows are faulty, more than 5 %", `row 4 (line 5), column spend: want a number, got "much"`}},
		{name: "half text, half numbers", csv: values(t, plain, "spend", func(row int, v string) string {
			return []string{"low", "high", v}[row%3]
		}), args: id},
		{name: "labels 0 and 1", csv: labels(t, plain, "1", "0"), args: id},
		{name: "labels 1.0 and 0.0", csv: labels(t, plain, "1.0", "0.0"), args: id},
		{name: "labels 1.0 and later 1", csv: labels(t, plain, "1.0", "0.0"), later: labels(t, plain, "1", "0"), args: id},
		{name: "labels True and False", csv: labels(t, plain, "True", "False"), args: id},
		{name: "labels true and later TRUE", csv: labels(t, plain, "true", "false"), later: labels(t, plain, "TRUE", "FALSE"), args: id},
		{name: "labels churned and stayed", csv: labels(t, plain, "churned", "stayed"), args: []string{"--positive", "churned"}},
		{name: "labels gone and here", csv: labels(t, plain, "gone", "here"), refused: `which value is the positive one? There are`},
		{name: "labels gone and here, told", csv: labels(t, plain, "gone", "here"), args: []string{"--positive", "gone"}},
		{name: "a positive that is not there", csv: plain, args: []string{"--positive", "maybe"}, refused: `has no value "maybe"; there are`},
		{name: "a single class", csv: labels(t, plain, "no", "no"), args: id, refused: `target "left" has a single value in all rows: "no" (400 rows)`},
		{name: "a single class later", csv: plain, later: labels(t, plain, "no", "no"), args: id, failed: []string{"single class: all 400 labels are no"}},
		{name: "three classes", csv: values(t, plain, "left", every(3, "maybe")), args: id, refused: `target "left" has 3 different values`},
		{name: "a third class later", csv: plain, later: values(t, plain, "left", every(3, "maybe")), args: id, failed: []string{`column left: "maybe" is neither "yes" nor "no"`}},
		{name: "some labels missing", csv: values(t, plain, "left", every(40, "")), args: id, screen: "10 faulty rows were left out",
			notes: []string{"10 rows have no label"}},
		{name: "no labels", csv: values(t, plain, "left", all("")), args: id, refused: `target "left" has no values`},
		{name: "30 rows", csv: people(30, "", nil), args: id, notes: []string{"expect figures that vary"}},
		{name: "6 rows", csv: people(6, "", nil), args: id, failed: []string{"rows"}},
		{name: "one positive row", csv: values(t, labels(t, plain, "no", "no"), "left", func(row int, v string) string {
			if row == 9 {
				return "yes"
			}
			return v
		}), args: id, failed: []string{"0 positive", "both classes are needed"}},
		{name: "too little signal", csv: plain, args: id, gate: "0.99", rejected: "roc_auc >= 0.99 does not hold"},
		{name: "ids twice", csv: values(t, plain, "id", func(row int, _ string) string { return fmt.Sprint("c", row/2) }), args: id,
			notes: []string{`Column "id" is the id and has 199 repeated values`}},
		{name: "ids twice later", csv: plain, later: values(t, plain, "id", func(row int, _ string) string { return fmt.Sprint("c", row/2) }), args: id,
			failed: []string{"199 rows repeat an id"}},
		{name: "huge whole numbers as ids", csv: values(t, plain, "id", func(row int, _ string) string { return fmt.Sprintf("98765432109876543%05d", row) }), args: id},
		{name: "huge whole numbers as a column", csv: values(t, plain, "plan", func(row int, _ string) string { return fmt.Sprintf("98765432109876543%05d", row) }), args: id},
		{name: "dates and free text", args: id, csv: people(400, ",since,remark", func(i int, _ bool) string {
			return fmt.Sprintf("20%02d-%02d-%02d,\"customer %d said, well, %d\"", 10+i%9, 1+i%12, 1+i%28, i, i*i)
		}), notes: []string{`Column "since" is ignored: it holds dates`, `Column "remark" is ignored: nearly every value is another`}},
		{name: "a constant column", csv: values(t, plain, "plan", all("basic")), args: id, notes: []string{`Column "plan" is ignored: it has one value in all rows`}},
		{name: "a column without values", csv: values(t, plain, "plan", all("")), args: id, notes: []string{`Column "plan" is ignored: it is empty`}},
		{name: "a column that becomes empty", csv: plain, later: values(t, plain, "plan", all("")), args: id},
		{name: "a number that becomes empty", csv: plain, later: values(t, plain, "age", all("")), args: id},
		{name: "decimal commas", csv: delimited(t, values(t, plain, "spend", func(_ int, v string) string { return strings.Replace(v, ".", ",", 1) }), ';'), args: id,
			notes: []string{`Column "spend" is ignored: it holds numbers that are written with a comma`, "decimal point"}},
		{name: "nothing to learn from", csv: without(t, without(t, without(t, plain, "age"), "spend"), "plan"), args: id, refused: "no column is left to learn from"},
		{name: "not a number and infinity", csv: values(t, plain, "spend", every(100, "inf")), args: id, screen: "4 faulty rows were left out"},
		{name: "NaN and NULL are missing", csv: values(t, values(t, plain, "spend", every(7, "NaN")), "plan", every(9, "NULL")), args: id},
	}
}

// TestUpSaysWhatIsWrongWithAPath covers files that are not there, which no table of contents can.
func TestUpSaysWhatIsWrongWithAPath(t *testing.T) {
	dir := t.TempDir()
	_, _, err := churn(t, "init", "--data", dir, "--target", "left")
	require.ErrorContains(t, err, "is a directory")
	require.ErrorContains(t, err, dir)
	_, _, err = churn(t, "init", "--data", filepath.Join(dir, "none.csv"), "--target", "left")
	require.ErrorContains(t, err, "none.csv: no such file")

	data, path := filepath.Join(dir, "data.csv"), filepath.Join(dir, "x.yaml")
	require.NoError(t, os.WriteFile(data, []byte(people(300, "", nil)), 0o600))
	out, _, err := churn(t, "init", "--data", data, "--target", "left")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(out), 0o600))
	free := []string{"up", "--spec", path, "--port=-1", "--inference-addr", "127.0.0.1:0", "--registry-addr", "127.0.0.1:0",
		"--trainer-addr", "127.0.0.1:0", "--drift-addr", "127.0.0.1:0", "--scorer-addr", "127.0.0.1:0", "--log-level", "error", "--store-bytes", "1073741824"}
	for _, c := range []struct{ name, data, want string }{
		{"missing", filepath.Join(dir, "gone.csv"), "gone.csv: no such file"},
		{"folder", dir, "is a folder, not a file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := churn(t, append(free, "--data", c.data, "--store-dir", t.TempDir())...)
			require.ErrorContains(t, err, c.want)
		})
	}

	t.Run("serving goes on when the data is gone after a restart", func(t *testing.T) {
		store := filepath.Join(t.TempDir(), "store")
		first := up(t, "--spec", path, "--store-dir", store)
		first.wait("serving version 1")
		require.NoError(t, first.stop())
		require.NoError(t, os.Remove(data))
		second := up(t, "--spec", path, "--store-dir", store)
		second.wait("no such file or directory; version 1 goes on")
		second.wait("serving version 1")
	})
}

func TestUpTellsAFailureAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	data, path, store := filepath.Join(dir, "data.csv"), filepath.Join(dir, "x.yaml"), filepath.Join(dir, "store")
	good := people(300, "", nil)
	require.NoError(t, os.WriteFile(data, []byte(good), 0o600))
	out, _, err := churn(t, "init", "--data", data, "--target", "left", "--id", "id")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(out), 0o600))
	require.NoError(t, os.WriteFile(data, []byte(without(t, good, "age")), 0o600))
	first := up(t, "--spec", path, "--store-dir", store)
	first.wait("column age: the column is missing")
	require.NoError(t, first.stop())

	second := up(t, "--spec", path, "--store-dir", store)
	second.wait("failed in step validate")
	require.Contains(t, second.screen.String(), "column age: the column is missing")
	require.NotContains(t, second.screen.String(), "training", "the same data is not tried twice")
	require.NoError(t, second.stop())

	require.NoError(t, os.WriteFile(data, []byte(good), 0o600))
	third := up(t, "--spec", path, "--store-dir", store)
	third.wait("serving version 1")
}

// TestPathsAreTakenFromTheCurrentFolder plays "churn init --data x.csv > x.yaml && churn up --spec x.yaml" as it is typed.
func TestPathsAreTakenFromTheCurrentFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("x.csv", []byte(people(300, "", nil)), 0o600))
	out, _, err := churn(t, "init", "--data", "x.csv", "--target", "left", "--id", "id")
	require.NoError(t, err)
	require.Contains(t, out, "path: x.csv", "kept as it was given")
	require.NoError(t, os.WriteFile("x.yaml", []byte(out), 0o600))
	l := up(t, "--spec", "x.yaml", "--store-dir", "store")
	l.wait("serving version 1")
	require.Contains(t, l.screen.String(), "churn example --spec x.yaml | curl")
	record, _, err := churn(t, "example", "--spec", "x.yaml")
	require.NoError(t, err)
	code, body := l.ask(record)
	require.Equal(t, 200, code, body)

	t.Run("or from the spec's", func(t *testing.T) {
		folder, err := os.Getwd()
		require.NoError(t, err)
		t.Chdir(t.TempDir())
		_, _, err = churn(t, "example", "--spec", filepath.Join(folder, "x.yaml"))
		require.NoError(t, err)
	})
}
