//go:build unix

package batch_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// benchRows is how many rows the files of the benchmark have; what stands in the tables is of files as long as these.
const benchRows = 500_000

// BenchmarkScore scores a file of Telco-like customers, file to file, with 100 trees, and reports rows per second, and per second of processor time, which is
// what a core does that nobody else uses. Run it with -benchtime=3x.
func BenchmarkScore(b *testing.B) {
	dir := b.TempDir()
	var text bytes.Buffer
	require.NoError(b, synth.WriteCSV(&text, synth.Config{Rows: benchRows, Seed: 3, Regime: synth.Original}))
	require.NoError(b, os.WriteFile(filepath.Join(dir, "in.csv"), text.Bytes(), 0o600))
	sch, err := dataset.NewSchema(spec.Telco())
	require.NoError(b, err)
	table, _, err := dataset.Load(b.Context(), &text, sch, dataset.LoadOptions{})
	require.NoError(b, err)
	f, err := os.Create(filepath.Join(dir, "in.parquet"))
	require.NoError(b, err)
	writeTable(b, f, table)
	require.NoError(b, f.Close())
	bundle := modeltest.Bundle(b, modeltest.Options{Rows: 20_000, Trees: 100})
	for _, tt := range []struct{ in, out batch.Format }{{batch.CSV, batch.CSV}, {batch.Parquet, batch.Parquet}, {batch.CSV, batch.Parquet}, {batch.JSONLines, batch.JSONLines}} {
		for _, cores := range []int{1, 2} {
			if tt.in == batch.JSONLines {
				path := filepath.Join(dir, "in.jsonl")
				if _, err := os.Stat(path); err != nil {
					require.NoError(b, os.WriteFile(path, content(b, table, batch.JSONLines), 0o600))
				}
			}
			b.Run(string(tt.in)+"-"+string(tt.out)+"-"+strconv.Itoa(cores), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
				in, err := os.Open(filepath.Join(dir, "in."+string(tt.in)))
				require.NoError(b, err)
				defer in.Close()
				source, err := batch.NewFile(in)
				require.NoError(b, err)
				root, err := os.OpenRoot(dir)
				require.NoError(b, err)
				defer root.Close()
				before := cpu(b)
				for b.Loop() {
					_, err := batch.Run(b.Context(), batch.Job{Bundle: bundle, Version: 3, Input: source, InputFormat: tt.in, OutputFormat: tt.out,
						Folder: root, Output: "out." + string(tt.out), Force: true, Threads: cores})
					require.NoError(b, err)
				}
				rows := float64(benchRows) * float64(b.N)
				b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(rows/(cpu(b)-before).Seconds(), "rows/cpu-s")
			})
		}
	}
}

// cpu returns the processor time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeTable writes a table as other programs would: one row group per 128 Ki rows, words in dictionaries.
func writeTable(b *testing.B, w io.Writer, table *dataset.Table) {
	writeParquetGroups(b, w, table, 128<<10, 1<<20)
}
