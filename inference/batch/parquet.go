package batch

import (
	"strconv"

	"github.com/parquet-go/parquet-go"

	"telco-churn-mlops/inference/batch/columnar"
	"telco-churn-mlops/model/dataset"
)

// parquetInput is a Parquet file, whose blocks come decoded.
type parquetInput struct{ *columnar.Reader }

func openParquet(j *Job, row int64) (input, error) {
	r, err := columnar.Open(j.Input, j.Input.Size(), j.Bundle.Schema, dataset.LayoutOptions{RequireID: !j.RowID, Keep: j.Columns}, int64(j.block), row)
	if err != nil {
		return nil, err
	}
	return parquetInput{r}, nil
}

func (p parquetInput) next() (*task, error) {
	rows, end, err := p.Next()
	if err != nil {
		return nil, err
	}
	return &task{rows: rows, end: end}, nil
}

func (p parquetInput) total() int64 { return p.Total() }

func (p parquetInput) decoder() (decoder, error) { return decoded{}, nil }

// decoded is for blocks that come decoded.
type decoded struct{}

func (decoded) decode(t *task) (*dataset.Rows, error) { return t.rows, nil }

func (decoded) Close() error { return nil }

// rowGroup is the values of some rows, by column of the output.
type rowGroup struct {
	columns [][]parquet.Value
	numbers []int64 // that stand for ids, counted within the block; nil where there are ids
}

// numbered puts the numbers of rows in their place; before is how many records came before the block.
func (g *rowGroup) numbered(before int64) [][]parquet.Value {
	for i, n := range g.numbers {
		g.columns[0][i] = parquet.ByteArrayValue(strconv.AppendInt(nil, before+n, 10))
	}
	return g.columns
}

// newParquetWriter makes one for the output's columns: texts, but for the probability (a double) and the version (a 64-bit integer).
func newParquetWriter(j *Job) (*columnar.Writer, error) {
	var columns []columnar.Column
	for _, name := range j.header() {
		kind := columnar.Text
		switch name {
		case columnProbability:
			kind = columnar.Double
		case columnVersion:
			kind = columnar.Integer
		case columnLabel:
			kind = columnar.Word
		}
		columns = append(columns, columnar.Column{Name: name, Kind: kind})
	}
	return columnar.NewWriter(columns)
}
