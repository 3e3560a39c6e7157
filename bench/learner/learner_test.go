package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/gbdt"
)

// TestMain lets the test's own program be a worker, as the driver starts its own program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-worker" {
		if err := start(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// tiny makes a driver without peers whose sections take parts of a second.
func tiny(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	c := DefaultConfig()
	c.Quick, c.Work, c.Data, c.Folds, c.Python = true, t.TempDir(), filepath.Join(t.TempDir(), "none.csv"), "none.csv", "no-such-python"
	if change != nil {
		change(&c)
	}
	require.NoError(t, c.Validate())
	b, err := newBench(t.Context(), c, io.Discard)
	require.NoError(t, err)
	b.sizes = sizes{standIn: 300, fit: 1500, holdout: 300, slow: 400, wide: 300, csv: 300, batch: 200, rows: []int{300, 600}, columns: []int{5, 25},
		trees: 3, telcoTrees: 3, rounds: 1, scaleRounds: 1, seconds: 0.001}
	return b
}

// TestSectionsWithoutPeers runs what our side can do alone, in processes of its own as in a real run.
func TestSectionsWithoutPeers(t *testing.T) {
	b := tiny(t, nil)
	require.Nil(t, b.installed)
	require.Contains(t, strings.Join(b.Remarks(), " "), "apt-get install")
	lines := map[string]int{"fit": 2, "slow": 2, "telco": 2, "row": 2, "batch": 0, "csv": 2, "scale": 4, "folds": 0}
	for _, s := range sections {
		rows, err := s.run(t.Context(), b)
		require.NoError(t, err, s.name)
		require.Len(t, rows, lines[s.name], s.name)
		for i := range rows {
			rows[i].section = s.name
			require.Positive(t, rows[i].ours.value.Median, rows[i].what)
			require.LessOrEqual(t, rows[i].ours.value.Min, rows[i].ours.value.Median, rows[i].what)
		}
		b.rows = append(b.rows, rows...)
	}
	fit := b.section("fit")[0].ours
	require.Positive(t, fit.cpu)
	require.InDelta(t, 0.5, fit.trainLoss, 0.2)
	require.InDelta(t, fit.trainLoss, fit.holdoutLoss, 0.2)
	if _, err := os.Stat("/proc/self/status"); err == nil {
		require.Greater(t, fit.peak, fit.before)
	}
	text := b.report("a host")
	require.Contains(t, text, "| Fit 1,500 rows x 19 columns, 3 trees x 31 leaves, 1 thread |")
	require.Contains(t, text, "only our side is measured")
	require.Contains(t, text, "generated customers of the same number stand in")
	require.NotContains(t, text, "NaN")
}

func TestProfiles(t *testing.T) {
	profiles := t.TempDir()
	b := tiny(t, func(c *Config) { c.Profiles = profiles })
	_, err := csvSection(t.Context(), b)
	require.NoError(t, err)
	for _, name := range []string{"Read-300-customers-from-CSV-one-core", "From-CSV-to-quantized-features-300-customers-one-core"} {
		require.NotEmpty(t, read(t, filepath.Join(profiles, name+".pprof")))
	}
}

// TestAnInterruptedRunShowsWhatItHas ends a run in its second section.
func TestAnInterruptedRunShowsWhatItHas(t *testing.T) {
	c := DefaultConfig()
	c.Quick, c.Work, c.Python, c.Only = true, t.TempDir(), "no-such-python", []string{"csv", "scale"}
	c.Data = filepath.Join(t.TempDir(), "none.csv")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	err := drive(ctx, c, &out, writerFunc(func(line []byte) {
		if bytes.Contains(line, []byte("section scale")) {
			cancel()
		}
	}))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "section scale")
	require.Contains(t, out.String(), "The run ended in section scale")
	require.Contains(t, out.String(), "| Read 5,000 customers from CSV")
	require.NotContains(t, out.String(), "### Time and memory")
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestWorkerRefuses(t *testing.T) {
	b := tiny(t, nil)
	_, err := b.do(t.Context(), b.ours, request{Task: "dance"}, false)
	require.ErrorContains(t, err, `unknown task "dance"`)
	_, err = b.do(t.Context(), b.ours, request{Task: "fit", Train: filepath.Join(b.dir, "none")}, false)
	require.ErrorContains(t, err, "none.x.npy")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.do(ctx, b.ours, request{Task: "csv"}, false)
	require.ErrorIs(t, err, context.Canceled)
}

// TestCodedSets checks that the numbers are the customers', that wide sets hold further ones, and that bytes repeat.
func TestCodedSets(t *testing.T) {
	b := tiny(t, nil)
	prefix, err := b.coded(200, 25, 7)
	require.NoError(t, err)
	s, err := openSet(prefix)
	require.NoError(t, err)
	require.Equal(t, 200, s.Len())
	require.Equal(t, 25, s.width)
	first, err := synth.New(synth.Config{Rows: 200, Seed: 7, Regime: synth.Original})
	require.NoError(t, err)
	second, err := synth.New(synth.Config{Rows: 200, Seed: 1007, Regime: synth.Original})
	require.NoError(t, err)
	row := make([]float64, 25)
	for i := range s.Len() {
		a, _ := first.NextCustomer()
		c, _ := second.NextCustomer()
		label, weight := s.Rows()(i, row)
		require.Equal(t, a.Churn, label == 1, "row %d", i)
		require.Equal(t, 1., weight)
		require.Equal(t, float64(a.Tenure), row[0], "row %d", i)
		require.Equal(t, math.Round(a.MonthlyCharges*20), row[5], "row %d", i)
		require.Equal(t, float64(c.Tenure), row[19], "row %d", i)
		for k, v := range row {
			require.True(t, v >= 0 && v == math.Trunc(v), "row %d column %d is %v", i, k, v)
		}
	}
	other := tiny(t, nil)
	again, err := other.coded(200, 25, 7)
	require.NoError(t, err)
	for _, suffix := range []string{".x.npy", ".y.npy"} {
		require.Equal(t, read(t, prefix+suffix), read(t, again+suffix), suffix)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func TestNPYHeader(t *testing.T) {
	for _, shape := range [][2]int{{1, 0}, {1_000_000, 19}, {123456789, 0}, {7, 1}} {
		head := npyHeader("<f4", shape[0], shape[1])
		require.Zero(t, len(head)%64)
		require.Equal(t, byte('\n'), head[len(head)-1])
		rows, columns, err := parseShape(string(head[10:]))
		require.NoError(t, err)
		require.Equal(t, shape[0], rows)
		require.Equal(t, max(1, shape[1]), columns)
	}
	_, _, err := parseShape(string(npyHeader("<f8", 2, 2)[10:]))
	require.ErrorContains(t, err, "not of float32")
	path := filepath.Join(t.TempDir(), "short.npy")
	require.NoError(t, os.WriteFile(path, npyHeader("<f4", 2, 2), 0o600))
	_, _, err = mapFloats(path)
	require.ErrorContains(t, err, "do not hold 2 x 2 values")
}

// TestFolds scores generated customers fold by fold and reads the scores back.
func TestFolds(t *testing.T) {
	b := tiny(t, nil)
	file, err := b.customers(200)
	require.NoError(t, err)
	folds := filepath.Join(b.dir, "folds.csv")
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	require.NoError(t, w.Write([]string{"row", "a", "b"}))
	for i := range 200 {
		require.NoError(t, w.Write([]string{strconv.Itoa(i), strconv.Itoa(i % 2), strconv.Itoa(i / 40)}))
	}
	w.Flush()
	require.NoError(t, os.WriteFile(folds, text.Bytes(), 0o600))
	q := request{Task: "folds", File: file, Folds: folds, Scores: filepath.Join(b.dir, "scores.npy"), Seeds: 1, Threads: 2}
	_, err = b.do(t.Context(), b.ours, q, false)
	require.NoError(t, err)
	scores := read(t, q.Scores)
	require.Len(t, scores, len(npyHeader("<f8", 1, 200))+200*8)
	require.Contains(t, string(scores[:128]), "'shape': (1, 200)")

	require.NoError(t, os.WriteFile(folds, []byte("row,a\n0,-1\n"), 0o600))
	_, err = readFolds(folds)
	require.ErrorContains(t, err, `in fold "-1"`)
	require.NoError(t, os.WriteFile(folds, []byte("row,a\n1,4\n"), 0o600))
	_, err = readFolds(folds)
	require.ErrorContains(t, err, `row 0 is numbered "1"`)
}

// TestBatchChecksScores scores with a model that XGBoost made, against its scores and against others.
func TestBatchChecksScores(t *testing.T) {
	b := tiny(t, nil)
	train, err := b.coded(100, 4, 1)
	require.NoError(t, err)
	s, err := openSet(train)
	require.NoError(t, err)
	q := request{Task: "batch", Train: train, Model: filepath.Join(b.dir, "model.json"), Batch: 50, Rounds: 2, Threads: 1}
	file := read(t, "../../model/gbdt/testdata/xgboost/numeric.json")
	require.NoError(t, os.WriteFile(q.Model, file, 0o600))
	model, err := gbdt.ParseXGBoost(bytes.NewReader(file))
	require.NoError(t, err)
	write := func(n int, off float32) {
		w, err := newNPY(q.Model+".scores.npy", n, 0)
		require.NoError(t, err)
		m := s.matrix()
		for i := range n {
			require.NoError(t, w.append(float32(model.Margin(m.Row(i)))+off))
		}
		require.NoError(t, w.close())
	}
	write(50, 0)
	var r result
	require.NoError(t, workBatch(t.Context(), q, &r))
	require.Positive(t, r.Seconds[0])
	write(50, 1e-3)
	require.ErrorContains(t, workBatch(t.Context(), q, &r), "row 0: we score")
	write(49, 0)
	require.ErrorContains(t, workBatch(t.Context(), q, &r), "a batch of 50 rows")
}

func TestCompareFolds(t *testing.T) {
	p := compare([]float64{3, 2, 5}, []float64{1, 2, 6}, true)
	require.InDelta(t, 1./3, p.Difference, 1e-15)
	require.InDelta(t, math.Sqrt(7./3), p.SD, 1e-15)
	require.Equal(t, 1, p.Won)
	require.Equal(t, 1, compare([]float64{3, 2, 5}, []float64{1, 2, 6}, false).Won)
}

func TestVerdict(t *testing.T) {
	at := func(v float64) measurement { return measurement{value: measure.Figures{Median: v, N: 1}} }
	for _, tt := range []struct {
		name string
		row  row
		want string
	}{
		{"no goal", row{ours: at(1)}, ""},
		{"at the bound", row{ours: at(2), peers: []measurement{at(2)}, goal: goal{text: "g", ratio: 1}}, "g: met"},
		{"slower", row{ours: at(2.1), peers: []measurement{at(2)}, goal: goal{text: "g", ratio: 1}}, "**g: missed**"},
		{"more is better", row{higher: true, ours: at(2.1), peers: []measurement{at(2)}, goal: goal{text: "g", ratio: 1}}, "g: met"},
		{"fewer is worse", row{higher: true, ours: at(1.9), peers: []measurement{at(2)}, goal: goal{text: "g", ratio: 1}}, "**g: missed**"},
		{"no peer", row{ours: at(2), goal: goal{text: "g", ratio: 1}}, "g: no peer"},
		{"a value", row{ours: at(149), goal: goal{text: "g", value: 150}}, "g: met"},
		{"a value missed", row{higher: true, ours: at(149), goal: goal{text: "g", value: 150}}, "**g: missed**"},
		{"a little under", row{higher: true, pairs: []pair{{Difference: -0.0004}}, goal: goal{text: "g", difference: 0.0005}}, "g: met"},
		{"too far under", row{higher: true, pairs: []pair{{Difference: -0.0006}}, goal: goal{text: "g", difference: 0.0005}}, "**g: missed**"},
		{"a greater loss", row{pairs: []pair{{Difference: 0.0006}}, goal: goal{text: "g", difference: 0.0005}}, "**g: missed**"},
		{"a lesser loss", row{pairs: []pair{{Difference: -0.1}}, goal: goal{text: "g", difference: 0.0005}}, "g: met"},
	} {
		require.Equal(t, tt.want, tt.row.verdict(), tt.name)
	}
}

func spread(median, least, most float64, n int) measure.Figures {
	return measure.Figures{Median: median, Min: least, Max: most, N: n}
}

func TestTables(t *testing.T) {
	b := &bench{Diary: measure.NewDiary(io.Discard), sizes: sizes{rounds: 5}, rows: []row{
		{section: "fit", what: "A fit", unit: "s", main: true, rows: 2e7, goal: goal{text: "at most 1.0x", ratio: 1},
			ours: measurement{side: "ours", value: spread(8, 7, 9, 5), cpu: 8, peak: 3e8, before: 1e8, quantized: 1e8, trainLoss: 0.4, holdoutLoss: 0.41},
			peers: []measurement{{side: "XGBoost hist", value: spread(4, 4, 4, 5), cpu: 4, peak: 2e8, before: 1e8, trainLoss: 0.4, holdoutLoss: 0.42},
				{side: "another", value: spread(400, 400, 400, 5), others: 0.5}}},
		{section: "scale", what: "small", unit: "s", ours: measurement{value: spread(1, 1, 1, 1)}},
		{section: "folds", what: "ROC-AUC", higher: true, main: true, ours: measurement{value: spread(0.85, 0.8, 0.9, 25)}, pairs: []pair{{-0.001, 0.002, 7, 25}},
			peers: []measurement{{side: "XGBoost", value: spread(0.851, 0.8, 0.9, 25)}}},
	}}
	full := b.report("host")
	for _, line := range []string{
		"| A fit | 8.00 (7.00 to 9.00) s | XGBoost hist: 4.00 (4.00 to 4.00) s | 2.00x, peer ahead | **at most 1.0x: missed, noisy** |",
		"|  | 8.00 (7.00 to 9.00) s | another: 400 (400 to 400) s | 0.0200x |  |",
		"| A fit | ours | 8.00 s | 300 | 200 (10 bytes a row, 5 of them quantized) | 0.40000 / 0.41000 | 0 % |",
		"|  | XGBoost hist | 4.00 s, ours / peer 2.00x | 200 | 100 (5 bytes a row) | 0.40000 / 0.42000 | 0 % |",
		"| small | 1.00 s | none | |  |",
		"| ROC-AUC | 0.8500 | XGBoost: 0.8510 | -0.0010 ± 0.0020 | 7 of 25 |  |",
		"Other programs took at most 50 %",
	} {
		require.Contains(t, full, line)
	}
	require.NotContains(t, b.summary("host"), "small")
	require.Contains(t, b.summary("host"), "| ROC-AUC |")
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.01234: "0.0123", 1.005: "1.00", 12.34: "12.3", 123.4: "123", 12345: "12345", 0.99999: "1.000", -2.5: "-2.50", 1e-9: "0.000000"} {
		require.Equal(t, want, number(v))
	}
}

func TestConfig(t *testing.T) {
	var out bytes.Buffer
	for _, tt := range []struct{ name, want string }{
		{"-rounds=0", "-rounds is 0"}, {"-only=fit,dance", `no section "dance"`}, {"more", `unexpected argument "more"`},
		{"-worker={", "decode task"},
	} {
		require.ErrorContains(t, start(t.Context(), []string{tt.name}, &out, &out), tt.want, tt.name)
	}
	require.ErrorContains(t, start(t.Context(), []string{"-only=fit", "-out=x.md"}, &out, &out), "whole run")
}

// TestRequestsAreOfOneShape checks that the fields that peer.py reads are fields of a request.
func TestRequestsAreOfOneShape(t *testing.T) {
	fields := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[request]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = true
	}
	n := 0
	for _, cut := range []string{`q["`, `q.get("`, `request["`} {
		for _, part := range strings.Split(string(peerScript), cut)[1:] {
			name, _, _ := strings.Cut(part, `"`)
			require.True(t, fields[name], name)
			n++
		}
	}
	require.Greater(t, n, 20)
}
