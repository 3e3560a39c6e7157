package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// pools are the demo's customers: one half is history, the other half lives.
type pools struct {
	source       string
	history      string // path of the history's CSV
	historyRows  int
	quarantined  int
	live, second []customer // the live half as it was, and in the second regime
	change       string
}

// alive says whether a customer is in the live half. The salt is the demo's own, so that the halves have nothing to do with the holdout.
func alive(id string) bool { return xxhash.Sum64String("demo/live/"+id)&1 == 1 }

// pools reads or generates the customers and writes the history.
func (c demoCmd) pools(sp *spec.Spec, history string) (*pools, error) {
	sch, err := dataset.NewSchema(sp)
	if err != nil {
		return nil, err
	}
	if c.Data != "" {
		return realPools(c.Data, sp, sch, history)
	}
	p := &pools{history: history, source: fmt.Sprintf("%d generated Telco-like customers, seed %d", c.Rows, c.Seed),
		change: "prices rise by 30 %, and other customers than before leave"}
	if p.live, err = p.generated(sp, sch, synth.Config{Rows: c.Rows, Seed: c.Seed, Regime: synth.Original}, history); err != nil {
		return nil, err
	}
	p.second, err = p.generated(sp, sch, synth.Config{Rows: c.Rows, Seed: c.Seed, Regime: synth.Shifted}, "")
	return p, err
}

// generated returns the live half of a generated population, and writes the other half to history unless that is empty.
func (p *pools) generated(sp *spec.Spec, sch *dataset.Schema, cfg synth.Config, history string) ([]customer, error) {
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(synth.WriteCSV(pw, cfg)) }()
	defer pr.Close()
	return p.split(pr, sp, sch, history, func(*dataset.Row) {})
}

func realPools(path string, sp *spec.Spec, sch *dataset.Schema, history string) (*pools, error) {
	p := &pools{history: history, source: filepath.Base(path), change: demoColumn + " is multiplied by 1.3, and the same customers leave as before"}
	rise, err := newShifter(sch, []shift{{demoColumn, 1.3, 0}})
	if err != nil {
		return nil, err
	}
	for _, half := range []struct {
		to      *[]customer
		history string
		change  func(*dataset.Row)
	}{{&p.live, history, func(*dataset.Row) {}}, {&p.second, "", rise.apply}} {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		*half.to, err = p.split(f, sp, sch, half.history, half.change)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return p, nil
}

// split returns the live half as requests, and writes the other half to history unless that is empty.
func (p *pools) split(r io.Reader, sp *spec.Spec, sch *dataset.Schema, history string, change func(*dataset.Row)) ([]customer, error) {
	rd, err := dataset.NewReader(bufio.NewReaderSize(r, 1<<16), sch, dataset.ReaderOptions{Format: spec.FormatCSV, Delimiter: sp.Dataset.Comma(), RequireLabel: true})
	if err != nil {
		return nil, err
	}
	table, row := dataset.NewTable(sch), sch.NewRow()
	var live []customer
	for {
		err := rd.Next(row)
		var fault *dataset.RecordError
		switch {
		case errors.Is(err, io.EOF):
			if len(live) == 0 {
				return nil, errors.New("no usable row")
			}
			return live, p.writeHistory(history, table)
		case errors.As(err, &fault):
			p.quarantined++
		case err != nil:
			return nil, err
		case alive(row.ID):
			live = append(live, newCustomer(sch, row, change))
		case history != "":
			table.Append(row)
		}
	}
}

func (p *pools) writeHistory(path string, t *dataset.Table) error {
	if path == "" {
		return nil
	}
	p.historyRows = t.Len()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := t.WriteCSV(f, nil); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// next returns the source of requests: the live half for demoPlain requests, then in the second regime until over; customers repeat when
// the pool is spent. A customer of the second regime who was asked for in the first is the same person at the new price. The number of the
// second regime's first request is sent to shifted, which must have room for it.
func (p *pools) next(over *atomic.Bool, shifted chan<- int) func() (customer, bool) {
	n := 0
	return func() (customer, bool) {
		if over.Load() {
			return customer{}, false
		}
		n++
		if n <= demoPlain {
			return p.live[(n-1)%len(p.live)], true
		}
		if n == demoPlain+1 {
			shifted <- n
		}
		return p.second[(n-1)%len(p.second)], true
	}
}
