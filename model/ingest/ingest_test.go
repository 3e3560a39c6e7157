package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/ingest"
	"telco-churn-mlops/model/spec"
)

// file returns a Telco-like CSV file.
func file(tb testing.TB, rows int) []byte {
	tb.Helper()
	var b bytes.Buffer
	require.NoError(tb, synth.WriteCSV(&b, synth.Config{Rows: rows, Seed: 3, Regime: synth.Original}))
	return b.Bytes()
}

func params() gbdt.Params {
	p := gbdt.DefaultParams()
	p.Trees, p.Subsample = 5, 0.8
	return p
}

// trees trains on quantized rows and returns the model's bytes.
func trees(t *testing.T, p gbdt.Params, d *gbdt.Data) string {
	t.Helper()
	e, _, err := gbdt.TrainData(t.Context(), p, d, nil, nil)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, e.WriteText(&b))
	return b.String()
}

// Where the sample is the whole file, the streamed rows are those of a table, quantized by the same bins: the trees are the same bytes.
func TestQuantizeIsTheTableWay(t *testing.T) {
	data := file(t, 2500)
	for _, encoding := range []string{spec.EncodingOrdinal, spec.EncodingOneHot, spec.EncodingNative} {
		s := spec.Telco()
		s.Features.Encoding = encoding
		sch, err := dataset.NewSchema(s)
		require.NoError(t, err)
		table, report, err := dataset.Load(t.Context(), bytes.NewReader(data), sch, dataset.LoadOptions{ReaderOptions: dataset.ReaderOptions{RequireLabel: true}})
		require.NoError(t, err)
		var keep func(string) bool
		rows := make([]int, 0, table.Len())
		for i := range table.Len() {
			rows = append(rows, i)
		}
		if encoding == spec.EncodingOrdinal {
			keep = func(id string) bool { return id[len(id)-1] != 'A' }
			rows = rows[:0]
			for i := range table.Len() {
				if keep(table.ID(i)) {
					rows = append(rows, i)
				}
			}
		}
		pipeline, err := feature.Fit(s, sch, table, rows, nil)
		require.NoError(t, err)
		src, err := pipeline.Source(table, rows, nil)
		require.NoError(t, err)
		p := params()
		p.Categorical = pipeline.Categorical()
		want, err := gbdt.Quantize(t.Context(), p, pipeline.Names(), src)
		require.NoError(t, err)

		for _, threads := range []int{1, 4} {
			for _, in := range []io.Reader{bytes.NewReader(data), iotest.HalfReader(bytes.NewReader(data))} {
				got, err := ingest.Quantize(t.Context(), in, s, sch, ingest.Options{
					Params: params(), Load: dataset.LoadOptions{Threads: threads}, Keep: keep,
				})
				require.NoError(t, err)
				require.Equal(t, len(rows), got.Sampled)
				require.Equal(t, len(rows), got.Data.Len())
				require.Equal(t, report, got.Report)
				require.Equal(t, pipeline.Names(), got.Pipeline.Names())
				require.Equal(t, trees(t, p, want), trees(t, got.Params, got.Data), "%s, %d threads", encoding, threads)
			}
		}
	}
}

// A file greater than its sample gives the same rows whatever the goroutines, and features within the stated error.
func TestQuantizeSamples(t *testing.T) {
	data := file(t, 24_000)
	s := spec.Telco()
	sch, err := dataset.NewSchema(s)
	require.NoError(t, err)
	var first string
	for _, threads := range []int{1, 3} {
		got, err := ingest.Quantize(t.Context(), bytes.NewReader(data), s, sch, ingest.Options{
			Params: params(), Load: dataset.LoadOptions{Threads: threads}, SampleRows: 2400,
		})
		require.NoError(t, err)
		require.Equal(t, 24_000, got.Data.Len())
		require.InDelta(t, 2400, got.Sampled, 800)
		text := trees(t, got.Params, got.Data)
		if first == "" {
			first = text
		}
		require.Equal(t, first, text)

		table, _, err := dataset.Load(t.Context(), bytes.NewReader(data), sch, dataset.LoadOptions{})
		require.NoError(t, err)
		median, _ := got.Pipeline.Median("MonthlyCharges")
		below := 0
		for _, v := range table.Numeric(1) {
			if v < median {
				below++
			}
		}
		require.InDelta(t, 0.5, float64(below)/24_000, 0.04, "four standard errors of a sample of 2,400")
	}
	got, err := ingest.Quantize(t.Context(), struct{ io.Reader }{bytes.NewReader(data)}, s, sch, ingest.Options{Params: params(), SampleRows: 2400})
	require.NoError(t, err)
	require.Equal(t, 24_000, got.Data.Len(), "a stream is read whole too")
}

func TestQuantizeRefuses(t *testing.T) {
	data := file(t, 300)
	for _, c := range []struct {
		name string
		edit func(*spec.Spec, *ingest.Options)
		in   string
		want string
	}{
		{"target encoding", func(s *spec.Spec, _ *ingest.Options) { s.Columns.Categorical[2].Encoding = spec.EncodingTarget }, "", `column "Partner" has target encoding`},
		{"no parameters", func(_ *spec.Spec, o *ingest.Options) { o.Params = gbdt.Params{} }, "", "Trees is 0"},
		{"nothing kept", func(_ *spec.Spec, o *ingest.Options) { o.Keep = func(string) bool { return false } }, "", "no row of the sample is kept"},
		{"faulty rows", nil, string(data) + "x,y\n", "1 of 301 rows are faulty"},
		{"no label", nil, strings.Replace(string(data), ",Churn\n", ",Left\n", 1), "the column is missing"},
		{"empty", nil, "\n", "the file is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, o := spec.Telco(), ingest.Options{Params: params()}
			if c.edit != nil {
				c.edit(s, &o)
			}
			sch, err := dataset.NewSchema(s)
			require.NoError(t, err)
			in := c.in
			if in == "" {
				in = string(data)
			}
			_, err = ingest.Quantize(t.Context(), strings.NewReader(in), s, sch, o)
			require.ErrorContains(t, err, c.want)
			_, err = ingest.Quantize(t.Context(), iotest.DataErrReader(strings.NewReader(in)), s, sch, o)
			require.ErrorContains(t, err, c.want)
		})
	}
	s := spec.Telco()
	sch, err := dataset.NewSchema(s)
	require.NoError(t, err)
	broken := errors.New("broken")
	_, err = ingest.Quantize(t.Context(), io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), s, sch, ingest.Options{Params: params()})
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = ingest.Quantize(ctx, bytes.NewReader(data), s, sch, ingest.Options{Params: params()})
	require.ErrorIs(t, err, context.Canceled)
}

// BenchmarkQuantize reports the throughput of processor time, which other load on the machine disturbs less than the clock's, and the
// most memory in use at once beyond what the process had before.
func BenchmarkQuantize(b *testing.B) {
	for _, rows := range []int{1_000_000} {
		data := file(b, rows)
		s := spec.Telco()
		sch, err := dataset.NewSchema(s)
		require.NoError(b, err)
		b.Run(fmt.Sprint(rows, " rows"), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			before := cpuTime(b)
			var size int64
			for b.Loop() {
				got, err := ingest.Quantize(b.Context(), bytes.NewReader(data), s, sch, ingest.Options{Params: params()})
				require.NoError(b, err)
				size = got.Data.Bytes()
			}
			b.ReportMetric(float64(len(data))*float64(b.N)/1e6/(cpuTime(b)-before).Seconds(), "MB/cpu-s")
			b.ReportMetric(float64(size)/1e6, "MB-quantized")
			b.ReportMetric(float64(peak(b, func() {
				_, err := ingest.Quantize(b.Context(), bytes.NewReader(data), s, sch, ingest.Options{Params: params()})
				require.NoError(b, err)
			}))/1e6, "MB-peak")
		})
	}
}

// peak returns by how much the heap in use grew at most while f ran, with a collector that follows closely.
func peak(b *testing.B, f func()) uint64 {
	b.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most, stop, done := m.HeapAlloc, m.HeapAlloc, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	}()
	f()
	close(stop)
	<-done
	return most - before
}

// cpuTime returns the processor time that this process has spent, with the collector's.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
