package batch

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/explain"
)

// scoreRows is how many rows are turned into features at once: those of a wide table still fit a second-level cache.
const scoreRows = 512

// scorer scores blocks and encodes them. It belongs to one goroutine.
type scorer struct {
	job      *Job
	features []float64
	margins  [scoreRows]float64
	encode   *encoder
	explain  *explain.Explainer // nil unless asked for
	row      *dataset.Row
	why      explain.Explanation
}

func newScorer(j *Job) (*scorer, error) {
	s := &scorer{job: j, features: make([]float64, scoreRows*j.Bundle.Pipeline.Width()), encode: newEncoder(j)}
	if !j.Explain {
		return s, nil
	}
	var err error
	if s.explain, err = explain.New(j.Bundle); err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	s.row = j.Bundle.Schema.NewRow()
	return s, nil
}

// score scores a decoded block and, where that needs nothing but the block, encodes it.
func (s *scorer) score(t *task) error {
	b, table := s.job.Bundle, t.rows.Table
	n, width := table.Len(), b.Pipeline.Width()
	t.score = make([]float64, n)
	source, err := b.Pipeline.Source(table, nil, nil)
	if err != nil {
		return fmt.Errorf("score: %w", err)
	}
	read := source.Rows()
	for from := 0; from < n; from += scoreRows {
		some := min(scoreRows, n-from)
		x := s.features[:some*width]
		for i := range some {
			read(from+i, x[i*width:(i+1)*width])
		}
		margins := s.margins[:some]
		b.Trees.Margins(x, margins)
		for i, margin := range margins {
			t.score[from+i] = b.Calibrator.Apply(b.Trees.FromMargin(margin))
		}
	}
	if s.explain != nil {
		t.reasons = make([]string, n)
		for i := range n {
			s.explain.Explain(table.Row(i, s.row), &s.why)
			t.reasons[i] = strings.Join(s.why.Reasons[:min(len(s.why.Reasons), s.job.Reasons)], "; ")
		}
	}
	switch {
	case s.job.OutputFormat == Parquet:
		t.table = s.encode.values(t)
	case !s.job.RowID: // else only the writer knows how many rows came before
		t.body = s.encode.rows(fresh(), t, 0)
	}
	return nil
}

// encoder writes rows as text, or as values of Parquet. It belongs to one goroutine.
type encoder struct {
	job       *Job
	keys      []string  // of JSON, with what stands around them
	ends      [2]string // what follows the probability of a negative and a positive
	labels    [2]string
	threshold float64
	numbers   []int64
}

func newEncoder(j *Job) *encoder {
	sch := j.Bundle.Schema
	e := &encoder{job: j, threshold: j.Bundle.Manifest.Threshold, labels: [2]string{sch.Negative(), sch.Positive()}}
	for i, label := range e.labels {
		if j.OutputFormat == JSONLines {
			e.ends[i] = `,"label":` + string(appendJSON(nil, label)) + `,"version":` + strconv.Itoa(j.Version)
		} else {
			e.ends[i] = "," + string(appendCSV(nil, label)) + "," + strconv.Itoa(j.Version)
		}
	}
	for _, name := range append([]string{columnID}, j.Columns...) {
		e.keys = append(e.keys, string(appendJSON(nil, name))+":")
	}
	return e
}

// header is the first line of CSV.
func (e *encoder) header() []byte {
	var line []byte
	for i, name := range e.job.header() {
		if i > 0 {
			line = append(line, ',')
		}
		line = appendCSV(line, name)
	}
	return append(line, '\n')
}

// positive is 1 for a probability that makes the label the positive one, else 0.
func (e *encoder) positive(p float64) int {
	if p >= e.threshold {
		return 1
	}
	return 0
}

// rows appends a block's rows; before is how many records came before them, which matters only where these numbers stand for ids.
func (e *encoder) rows(dst []byte, t *task, before int64) []byte {
	if e.job.RowID {
		e.numbers = t.rows.Numbers(e.numbers[:0])
	}
	for i, p := range t.score {
		if e.job.OutputFormat == JSONLines {
			dst = e.json(dst, t, i, before)
			dst = appendFloat(append(dst, `,"churn_probability":`...), p)
		} else {
			dst = e.csv(dst, t, i, before)
			dst = appendFloat(append(dst, ','), p)
		}
		dst = append(dst, e.ends[e.positive(p)]...)
		switch {
		case e.job.OutputFormat == JSONLines && e.job.Explain:
			dst = append(appendJSON(append(dst, `,"reasons":`...), t.reasons[i]), '}', '\n')
		case e.job.OutputFormat == JSONLines:
			dst = append(dst, '}', '\n')
		case e.job.Explain:
			dst = append(appendCSV(append(dst, ','), t.reasons[i]), '\n')
		default:
			dst = append(dst, '\n')
		}
	}
	return dst
}

func (e *encoder) csv(dst []byte, t *task, i int, before int64) []byte {
	if e.job.RowID {
		dst = strconv.AppendInt(dst, before+e.numbers[i], 10)
	} else {
		dst = appendCSV(dst, t.rows.Table.ID(i))
	}
	for k := range e.job.Columns {
		dst = appendCSV(append(dst, ','), t.rows.Kept(k, i))
	}
	return dst
}

func (e *encoder) json(dst []byte, t *task, i int, before int64) []byte {
	dst = append(append(dst, '{'), e.keys[0]...)
	if e.job.RowID {
		dst = append(strconv.AppendInt(append(dst, '"'), before+e.numbers[i], 10), '"')
	} else {
		dst = appendJSON(dst, t.rows.Table.ID(i))
	}
	for k := range e.job.Columns {
		dst = appendJSON(append(append(dst, ','), e.keys[k+1]...), t.rows.Kept(k, i))
	}
	return dst
}

// values returns a block's rows as values. Numbers of rows that stand for ids count within the block.
func (e *encoder) values(t *task) *rowGroup {
	n := len(t.score)
	g := &rowGroup{columns: make([][]parquet.Value, len(e.job.header()))}
	for c := range g.columns {
		g.columns[c] = make([]parquet.Value, n)
	}
	if e.job.RowID {
		g.numbers = t.rows.Numbers(nil)
	}
	labels := [2]parquet.Value{parquet.ByteArrayValue([]byte(e.labels[0])), parquet.ByteArrayValue([]byte(e.labels[1]))}
	version, kept := parquet.Int64Value(int64(e.job.Version)), len(e.job.Columns)
	for i, p := range t.score {
		if !e.job.RowID {
			g.columns[0][i] = parquet.ByteArrayValue([]byte(t.rows.Table.ID(i)))
		}
		for k := range kept {
			g.columns[1+k][i] = parquet.ByteArrayValue([]byte(t.rows.Kept(k, i)))
		}
		g.columns[1+kept][i] = parquet.DoubleValue(p)
		g.columns[2+kept][i] = labels[e.positive(p)]
		g.columns[3+kept][i] = version
		if e.job.Explain {
			g.columns[4+kept][i] = parquet.ByteArrayValue([]byte(t.reasons[i]))
		}
	}
	return g
}
