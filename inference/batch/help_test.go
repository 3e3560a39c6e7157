package batch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/model/dataset"
)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// bgContext is that of a process that is killed rather than stopped.
func bgContext() context.Context { return context.Background() }

// content returns the rows of a table in a format.
func content(t testing.TB, table *dataset.Table, f batch.Format) []byte {
	t.Helper()
	var b bytes.Buffer
	switch f {
	case batch.CSV:
		require.NoError(t, table.WriteCSV(&b, nil))
	case batch.JSONLines:
		row := table.Schema().NewRow()
		for i := range table.Len() {
			b.Write(append(table.Schema().AppendJSON(nil, table.Row(i, row), false), '\n'))
		}
	case batch.Parquet:
		writeParquet(t, &b, table)
	}
	return b.Bytes()
}

// writeParquet writes numbers as doubles and words as optional texts, in several row groups of many small pages.
func writeParquet(t testing.TB, w io.Writer, table *dataset.Table) {
	t.Helper()
	writeParquetGroups(t, w, table, 333, 512)
}

// writeParquetGroups writes row groups of so many rows, and pages of so many bytes.
func writeParquetGroups(t testing.TB, w io.Writer, table *dataset.Table, rows, page int) {
	t.Helper()
	sch, group := table.Schema(), parquet.Group{}
	group[sch.ID()] = parquet.String()
	for _, name := range sch.Numeric() {
		group[name] = parquet.Optional(parquet.Leaf(parquet.DoubleType))
	}
	for _, name := range sch.Categorical() {
		group[name] = parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary))
	}
	schema := parquet.NewSchema("rows", group)
	pw := parquet.NewGenericWriter[any](w, schema, parquet.PageBufferSize(page))
	row := sch.NewRow()
	for i := range table.Len() {
		table.Row(i, row)
		values := map[string]any{sch.ID(): row.ID}
		for k, name := range sch.Numeric() {
			if v := row.Num[k]; !math.IsNaN(v) {
				values[name] = v
			}
		}
		for k, name := range sch.Categorical() {
			if v := row.Cat[k]; v != "" {
				values[name] = v
			}
		}
		_, err := pw.Write([]any{values})
		require.NoError(t, err)
		if i%rows == rows-1 {
			require.NoError(t, pw.Flush())
		}
	}
	require.NoError(t, pw.Close())
}
