package batch_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
)

// options of the rows that are scored; the bundle has seen others.
var options = modeltest.Options{Rows: 700, Seed: 9, Trees: 12}

func bundle(t testing.TB) *model.Bundle {
	t.Helper()
	return modeltest.Bundle(t, modeltest.Options{Trees: 12})
}

// file writes a file and returns it as a source.
func file(t testing.TB, name string, content []byte) *batch.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	source, err := batch.NewFile(f)
	require.NoError(t, err)
	return source
}

func folder(t testing.TB) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	return root
}

// scored is a row of an output.
type scored struct {
	id, label, reasons string
	p                  float64
	version            int
}

// read returns the rows of an output.
func read(t testing.TB, root *os.Root, name string, f batch.Format) []scored {
	t.Helper()
	raw, err := root.ReadFile(name)
	require.NoError(t, err)
	var out []scored
	switch f {
	case batch.CSV:
		records, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
		require.NoError(t, err)
		at := map[string]int{}
		for i, name := range records[0] {
			at[name] = i
		}
		for _, r := range records[1:] {
			p, err := strconv.ParseFloat(r[at["churn_probability"]], 64)
			require.NoError(t, err)
			v, err := strconv.Atoi(r[at["version"]])
			require.NoError(t, err)
			s := scored{id: r[0], p: p, label: r[at["label"]], version: v}
			if k, ok := at["reasons"]; ok {
				s.reasons = r[k]
			}
			out = append(out, s)
		}
	case batch.JSONLines:
		for line := range bytes.Lines(raw) {
			var r struct {
				ID, Label, Reasons string
				P                  float64 `json:"churn_probability"`
				Version            int
			}
			require.NoError(t, json.Unmarshal(line, &r), "%s", line)
			out = append(out, scored{r.ID, r.Label, r.Reasons, r.P, r.Version})
		}
	case batch.Parquet:
		type row struct {
			ID      string  `parquet:"id"`
			P       float64 `parquet:"churn_probability"`
			Label   string  `parquet:"label"`
			Version int64   `parquet:"version"`
		}
		rows, err := parquet.Read[row](bytes.NewReader(raw), int64(len(raw)))
		require.NoError(t, err)
		for _, r := range rows {
			out = append(out, scored{id: r.ID, p: r.P, label: r.Label, version: int(r.Version)})
		}
	}
	return out
}

// answers returns what a request for each row of a table is answered.
func answers(t testing.TB, b *model.Bundle, table *dataset.Table) []scored {
	t.Helper()
	s, row, read := b.NewScorer(), b.Schema.NewRow(), b.Schema.NewRow()
	out := make([]scored, table.Len())
	for i := range out {
		record := table.Schema().AppendJSON(nil, table.Row(i, row), false)
		_, err := b.Schema.DecodeJSON(record, read, dataset.DecodeOptions{})
		require.NoError(t, err)
		p := s.Score(read)
		out[i] = scored{id: read.ID, p: p.Probability, label: p.Label, version: 3}
	}
	return out
}

// The scores of a file are bit for bit those of requests, whatever the formats, blocks and threads.
func TestScoresAreThoseOfRequests(t *testing.T) {
	b := bundle(t)
	table := modeltest.Table(t, options)
	want := answers(t, b, table)
	formats := []batch.Format{batch.CSV, batch.JSONLines, batch.Parquet}
	for _, in := range formats {
		raw := content(t, table, in)
		for _, out := range formats {
			t.Run(fmt.Sprintf("%s to %s", in, out), func(t *testing.T) {
				var bytesOf []byte
				for _, threads := range []int{1, 3} {
					root := folder(t)
					r, err := batch.Run(t.Context(), batch.Small(batch.Job{Bundle: b, Version: 3, Input: file(t, "in", raw), InputFormat: in,
						OutputFormat: out, Folder: root, Output: "out", Threads: threads}))
					require.NoError(t, err)
					require.Equal(t, want, read(t, root, "out", out))
					require.EqualValues(t, 700, r.Rows)
					require.EqualValues(t, 700, r.Scored)
					got, err := root.ReadFile("out")
					require.NoError(t, err)
					require.Equal(t, digest(got), r.Digest)
					require.EqualValues(t, len(got), r.Size)
					if bytesOf != nil {
						require.Equal(t, bytesOf, got, "the bytes depend on the number of threads")
					}
					bytesOf = got
					left, err := os.ReadDir(root.Name())
					require.NoError(t, err)
					require.Len(t, left, 1, "%v", left)
				}
			})
		}
	}
}

// Marks, line ends and quotes are read as package dataset reads them; rows with faults are listed and left out; and what is copied is copied as it is.
func TestHardFiles(t *testing.T) {
	b := bundle(t)
	table := modeltest.Table(t, modeltest.Options{Rows: 50, Seed: 4})
	lines := strings.Split(strings.TrimSpace(string(content(t, table, batch.CSV))), "\n")
	id, numeric := b.Schema.ID(), b.Schema.Numeric()[1]
	head := strings.Split(lines[0], ",")
	column := func(name string) int {
		for i, h := range head {
			if h == name {
				return i
			}
		}
		t.Fatalf("no column %s", name)
		return 0
	}
	broken := strings.Split(lines[3], ",")
	broken[column(numeric)] = "plenty"
	short := "only,three,values"
	unquoted := strings.Split(lines[5], ",")
	unquoted[column(id)] = "\"new\nline, \"\"quoted\"\"\""
	text := "\ufeff" + strings.Join([]string{lines[0] + ",note", lines[1] + ",plain", lines[2] + `,"a ""b"", c"`, strings.Join(broken, ",") + ",x", short,
		strings.Join(unquoted, ",") + `,"two` + "\n" + `lines"`, "", lines[6] + ", led"}, "\r\n")
	root := folder(t)
	r, err := batch.Run(t.Context(), batch.Job{Bundle: b, Version: 3, Input: file(t, "in.csv", []byte(text)), Folder: root, Output: "out.csv",
		Columns: []string{"note", numeric}, MaxFaults: batch.AnyFaults})
	require.NoError(t, err)
	require.Equal(t, []int64{6, 4, 2}, []int64{r.Rows, r.Scored, r.Faulty})
	require.Equal(t, "out.csv.faults.csv", r.Faults)

	raw, err := root.ReadFile("out.csv")
	require.NoError(t, err)
	records, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"id", "note", numeric, "churn_probability", "label", "version"}, records[0])
	var notes, ids []string
	for _, r := range records[1:] {
		ids, notes = append(ids, r[0]), append(notes, r[1])
	}
	require.Equal(t, []string{"plain", `a "b", c`, "two\nlines", " led"}, notes)
	require.Equal(t, "new\nline, \"quoted\"", ids[2])

	raw, err = root.ReadFile("out.csv.faults.csv")
	require.NoError(t, err)
	faults, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	require.NoError(t, err)
	require.Len(t, faults, 3)
	require.Equal(t, []string{"3", "4", numeric, "type", "plenty"}, faults[1][:5])
	require.Equal(t, []string{"4", "5", "", "columns_count", ""}, faults[2][:5])
}

func TestRefusals(t *testing.T) {
	b := bundle(t)
	table := modeltest.Table(t, modeltest.Options{Rows: 60, Seed: 4})
	good := content(t, table, batch.CSV)
	numeric := b.Schema.Numeric()[0]
	lacking := func(name string) []byte { return bytes.Replace(good, []byte(name), []byte("other"), 1) }
	for _, tt := range []struct {
		name   string
		in     []byte
		change func(*batch.Job)
		want   string
	}{
		{"a feature is missing", lacking(numeric), nil, numeric},
		{"the id is missing", lacking(b.Schema.ID()), nil, b.Schema.ID()},
		{"a column to copy is missing", good, func(j *batch.Job) { j.Columns = []string{"region"} }, "region"},
		{"an empty file", nil, nil, "empty"},
		{"an archive", []byte("PK\x03\x04" + strings.Repeat("x", 100)), nil, "the file is"},
		{"a quote that takes in all", append(bytes.Clone(good), []byte("\"a\nb\nc")...), nil, "not closed"},
		{"no Parquet", good, func(j *batch.Job) { j.InputFormat = batch.Parquet }, "Parquet"},
		{"a column of the output's name", good, func(j *batch.Job) { j.Columns = []string{"label"} }, "label"},
		{"an unknown format", good, func(j *batch.Job) { j.OutputFormat = "xml" }, "xml"},
		{"more faults than tolerated", append(bytes.Clone(good), []byte("a,b\n")...), nil, "row 61"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := folder(t)
			j := batch.Job{Bundle: b, Input: file(t, "in", tt.in), Folder: root, Output: "out"}
			if tt.change != nil {
				tt.change(&j)
			}
			_, err := batch.Run(t.Context(), j)
			require.ErrorContains(t, err, tt.want)
			_, err = root.Stat("out")
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}

// A file without its id column can be scored with the numbers of its rows, over the end of blocks and across faulty rows.
func TestRowNumbersAsIDs(t *testing.T) {
	b := bundle(t)
	table := modeltest.Table(t, options)
	raw := bytes.Replace(content(t, table, batch.CSV), []byte(b.Schema.ID()), []byte("other"), 1)
	at := bytes.IndexByte(raw[len(raw)/2:], '\n') + len(raw)/2 + 1
	raw = append(append(bytes.Clone(raw[:at]), "broken\n"...), raw[at:]...)
	before := bytes.Count(raw[:at], []byte("\n")) - 1
	for _, f := range []batch.Format{batch.CSV, batch.JSONLines, batch.Parquet} {
		root := folder(t)
		_, err := batch.Run(t.Context(), batch.Small(batch.Job{Bundle: b, Version: 3, Input: file(t, "in", raw), Folder: root, Output: "out", OutputFormat: f,
			RowID: true, MaxFaults: 1}))
		require.NoError(t, err)
		got := read(t, root, "out", f)
		require.Len(t, got, 700)
		for i, s := range got {
			n := i + 1
			if i >= before {
				n++
			}
			require.Equal(t, strconv.Itoa(n), s.id)
		}
	}
}

func TestOutputThatExists(t *testing.T) {
	b := bundle(t)
	table := modeltest.Table(t, modeltest.Options{Rows: 60, Seed: 4})
	root := folder(t)
	j := batch.Job{Bundle: b, Input: file(t, "in", content(t, table, batch.CSV)), Folder: root, Output: "out"}
	_, err := batch.Run(t.Context(), j)
	require.NoError(t, err)
	_, err = batch.Run(t.Context(), j)
	require.ErrorIs(t, err, batch.ErrExists)
	left, err := os.ReadDir(root.Name())
	require.NoError(t, err)
	require.Len(t, left, 1)
	j.Force = true
	_, err = batch.Run(t.Context(), j)
	require.NoError(t, err)
}

// An interruption leaves a checkpoint; other work beside it is refused, the same work goes on.
func TestOtherWork(t *testing.T) {
	b := bundle(t)
	raw := content(t, modeltest.Table(t, options), batch.CSV)
	root := folder(t)
	ctx, stop := context.WithCancelCause(t.Context())
	why := fmt.Errorf("enough")
	j := batch.Small(batch.Job{Bundle: b, Version: 1, Input: file(t, "in", raw), Folder: root, Output: "out"})
	j.Progress = func(batch.Progress) { stop(why) }
	_, err := batch.Run(ctx, j)
	require.ErrorIs(t, err, why)
	version, ok := batch.Pending(root, "out", "", j.Input)
	require.True(t, ok)
	require.Equal(t, 1, version)
	_, ok = batch.Pending(root, "out", "another job", j.Input)
	require.False(t, ok)
	j.Progress = nil

	other := j
	other.Version = 2
	_, err = batch.Run(t.Context(), other)
	require.ErrorIs(t, err, batch.ErrOther)
	other = j
	other.Input = file(t, "in", append(bytes.Clone(raw), '\n'))
	_, err = batch.Run(t.Context(), other)
	require.ErrorIs(t, err, batch.ErrOther)

	r, err := batch.Run(t.Context(), j)
	require.NoError(t, err)
	require.EqualValues(t, 700, r.Rows)
	require.Positive(t, r.Resumed)
	require.Equal(t, undisturbed(t, j), mustRead(t, root, "out"))
}

// undisturbed is the output of the same job in one go.
func undisturbed(t *testing.T, j batch.Job) []byte {
	t.Helper()
	j.Folder, j.Output = folder(t), "out"
	_, err := batch.Run(t.Context(), j)
	require.NoError(t, err)
	return mustRead(t, j.Folder, "out")
}

func mustRead(t *testing.T, root *os.Root, name string) []byte {
	t.Helper()
	raw, err := root.ReadFile(name)
	require.NoError(t, err)
	return raw
}

func TestInputThatChanges(t *testing.T) {
	b := bundle(t)
	raw := content(t, modeltest.Table(t, options), batch.CSV)
	path := filepath.Join(t.TempDir(), "in.csv")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	source, err := batch.NewFile(f)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("x"), int64(len(raw)))
	require.NoError(t, err)
	_, err = batch.Run(t.Context(), batch.Job{Bundle: b, Input: source, Folder: folder(t), Output: "out"})
	require.ErrorIs(t, err, batch.ErrChanged)
}

// Reasons come with each score, the same in all formats.
func TestReasons(t *testing.T) {
	b := bundle(t)
	table := modeltest.Table(t, modeltest.Options{Rows: 60, Seed: 4})
	var want []scored
	for _, f := range []batch.Format{batch.CSV, batch.JSONLines} {
		for _, id := range []bool{false, true} {
			root := folder(t)
			_, err := batch.Run(t.Context(), batch.Job{Bundle: b, Version: 1, Input: file(t, "in", content(t, table, batch.CSV)), Folder: root, Output: "out",
				OutputFormat: f, Explain: true, Reasons: 2, RowID: id})
			require.NoError(t, err)
			got := read(t, root, "out", f)
			for i := range got {
				require.NotEmpty(t, got[i].reasons)
				require.LessOrEqual(t, strings.Count(got[i].reasons, "; "), 1)
				got[i].id = ""
			}
			if want == nil {
				want = got
			}
			require.Equal(t, want, got)
		}
	}
}
