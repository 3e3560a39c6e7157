//go:build s3

package place_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/inference/batch/place"
	"telco-churn-mlops/internal/artifact/artifacttest"
	"telco-churn-mlops/internal/artifact/s3"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
)

// bucket makes one and returns how to reach objects in it.
func bucket(t *testing.T) func(uri string) (s3.Config, error) {
	t.Helper()
	g := artifacttest.StartGateway(t)
	reach := func(uri string) (s3.Config, error) {
		cfg, err := s3.ParseURLWith(uri, s3.Defaults{Endpoint: "http://" + g.Addr})
		cfg.AccessKey, cfg.SecretKey = g.AccessKey, g.SecretKey
		return cfg, err
	}
	cfg, err := reach("s3://rows/x?create=true")
	require.NoError(t, err)
	_, err = s3.Open(t.Context(), cfg)
	require.NoError(t, err)
	return reach
}

func put(t *testing.T, reach func(string) (s3.Config, error), uri string, content []byte) {
	t.Helper()
	cfg, err := reach(uri)
	require.NoError(t, err)
	require.NoError(t, s3.PutObject(t.Context(), cfg, bytes.NewReader(content), int64(len(content))))
}

func get(t *testing.T, reach func(string) (s3.Config, error), uri string) []byte {
	t.Helper()
	cfg, err := reach(uri)
	require.NoError(t, err)
	o, err := s3.OpenObject(t.Context(), cfg)
	require.NoError(t, err)
	r, err := o.Open(0)
	require.NoError(t, err)
	raw, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return raw
}

// score does a job from place to place.
func score(ctx context.Context, p place.Places, b *model.Bundle, from, to string) (*batch.Result, string, error) {
	in, err := p.Input(ctx, from)
	if err != nil {
		return nil, "", err
	}
	out, err := p.Output(ctx, to, "job", false)
	if err != nil {
		return nil, "", errors.Join(err, in.Close())
	}
	format, err := batch.FormatOf(in.Name)
	if err != nil {
		return nil, "", errors.Join(err, in.Close(), out.Close())
	}
	r, err := batch.Run(ctx, batch.Job{Bundle: b, Version: 1, Input: in, InputFormat: format, OutputFormat: out.Format,
		Folder: out.Folder, Output: out.Name, Hold: out.Hold, MaxFaults: batch.AnyFaults})
	var faults string
	if err == nil {
		_, faults, err = out.Store(ctx, to, r)
	}
	return r, faults, errors.Join(err, out.Close(), in.Close())
}

// Objects go in and come out with the bytes of local files.
func TestObjects(t *testing.T) {
	reach := bucket(t)
	b := modeltest.Bundle(t, modeltest.Options{Trees: 5})
	var rows bytes.Buffer
	require.NoError(t, modeltest.Table(t, modeltest.Options{Rows: 5000, Seed: 3}).WriteCSV(&rows, nil))
	rows.WriteString("broken\n")
	put(t, reach, "s3://rows/in.csv", rows.Bytes())
	p := place.Places{S3: reach, Scratch: t.TempDir(), Anywhere: true}

	local := t.TempDir() + "/out"
	_, _, err := score(t.Context(), p, b, "s3://rows/in.csv", local+".csv")
	require.NoError(t, err)
	r, faults, err := score(t.Context(), p, b, "s3://rows/in.csv", "s3://rows/out.csv")
	require.NoError(t, err)
	require.Equal(t, "s3://rows/out.csv.faults.csv", faults)
	require.EqualValues(t, 5000, r.Scored)
	want, err := os.ReadFile(local + ".csv")
	require.NoError(t, err)
	require.Equal(t, want, get(t, reach, "s3://rows/out.csv"))
	require.Contains(t, string(get(t, reach, faults)), "5001,5002")
	left, err := os.ReadDir(p.Scratch)
	require.NoError(t, err)
	require.Empty(t, left)

	_, _, err = score(t.Context(), p, b, "s3://rows/in.csv", "s3://rows/out.csv")
	require.ErrorIs(t, err, batch.ErrExists)
	in, err := p.Input(t.Context(), "s3://rows/in.csv")
	require.NoError(t, err)
	put(t, reach, "s3://rows/in.csv", []byte("other"))
	_, err = in.Open(0)
	require.ErrorIs(t, err, batch.ErrChanged)
	_, err = in.ReadAt(make([]byte, 9), 0)
	require.ErrorIs(t, err, batch.ErrChanged)
	require.ErrorIs(t, in.Check(), batch.ErrChanged)
	put(t, reach, "s3://rows/in.csv", rows.Bytes())
	out, err := p.Output(t.Context(), "s3://rows/in.csv", "job", true)
	require.NoError(t, err)
	require.ErrorIs(t, out.Apart(in), place.ErrRefused)
	_, err = p.Output(t.Context(), "s3://nowhere/out.csv", "job", true)
	require.ErrorContains(t, err, "bucket does not exist")
	_, _, err = score(t.Context(), p, b, "s3://rows/nothing.csv", "s3://rows/out2.csv")
	require.ErrorContains(t, err, "not found")
}

// A Parquet object is read by ranges.
func TestParquetObject(t *testing.T) {
	reach := bucket(t)
	b := modeltest.Bundle(t, modeltest.Options{Trees: 5})
	raw := parquetRows(t, 500)
	put(t, reach, "s3://rows/in.parquet", raw)
	p := place.Places{S3: reach, Scratch: t.TempDir(), Anywhere: true}
	r, _, err := score(t.Context(), p, b, "s3://rows/in.parquet", "s3://rows/out.parquet")
	require.NoError(t, err)
	require.EqualValues(t, 500, r.Scored)
	require.Equal(t, "PAR1", string(get(t, reach, "s3://rows/out.parquet")[:4]))
}

// parquetRows returns generated rows as Parquet, numbers as doubles and words as texts.
func parquetRows(t *testing.T, n int) []byte {
	t.Helper()
	table := modeltest.Table(t, modeltest.Options{Rows: n, Seed: 3})
	sch, group := table.Schema(), parquet.Group{}
	group[sch.ID()] = parquet.String()
	for _, name := range sch.Numeric() {
		group[name] = parquet.Optional(parquet.Leaf(parquet.DoubleType))
	}
	for _, name := range sch.Categorical() {
		group[name] = parquet.String()
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[any](&b, parquet.NewSchema("rows", group))
	row := sch.NewRow()
	for i := range table.Len() {
		table.Row(i, row)
		values := map[string]any{sch.ID(): row.ID}
		for k, name := range sch.Numeric() {
			if v := row.Num[k]; v == v {
				values[name] = v
			}
		}
		for k, name := range sch.Categorical() {
			values[name] = row.Cat[k]
		}
		_, err := w.Write([]any{values})
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}
