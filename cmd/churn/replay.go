package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

type replayCmd struct {
	remote
	specFlags
	File     string        `arg:"" help:"CSV (or JSON lines) of records, with the target column where labels are to be sent."`
	URL      string        `name:"predict-url" aliases:"url" env:"CHURN_PREDICT_URL" default:"http://127.0.0.1:8080/predict" help:"Where to ask."`
	Rate     float64       `name:"rate" default:"200" help:"Requests a second."`
	Count    int           `name:"count" help:"Stop after so many requests; 0 is the file once, more than its rows goes round."`
	Shift    []string      `name:"shift" help:"Change a numeric column: COLUMN=*1.3, =+10 or =-10. May be repeated." placeholder:"CHANGE" sep:"none"`
	NoLabels bool          `name:"no-labels" help:"Send no labels."`
	LabelLag time.Duration `name:"label-delay" default:"1s" help:"How long after its prediction a label is sent."`
}

// Run streams the file; it fails if any request did.
func (c replayCmd) Run(r *run) (err error) {
	if !(c.Rate > 0) || c.Count < 0 || c.LabelLag < 0 {
		return errors.New("--rate must be positive, --count and --label-delay not negative")
	}
	sp, _, err := c.load()
	if err != nil {
		return err
	}
	sch, err := dataset.NewSchema(sp)
	if err != nil {
		return err
	}
	var shifts []shift
	for _, s := range c.Shift {
		one, err := parseShift(s)
		if err != nil {
			return err
		}
		shifts = append(shifts, one)
	}
	shifter, err := newShifter(sch, shifts)
	if err != nil {
		return err
	}
	customers, quarantined, err := readCustomers(c.File, sp, sch, shifter.apply, !c.NoLabels)
	if err != nil {
		return err
	}
	if quarantined > 0 {
		fmt.Fprintf(r.errs, "%d faulty rows are left out\n", quarantined)
	}
	var b *bus.Bus
	if !c.NoLabels {
		if b, err = c.dial(r, "replay"); err != nil {
			return fmt.Errorf("send labels (--no-labels sends none): %w", err)
		}
		defer func() { err = closing(b, err) }()
	}
	t := newTraffic(c.URL, sp.Name, c.Rate, b)
	t.labelAfter = c.LabelLag
	total := c.Count
	if total == 0 {
		total = len(customers)
	}
	n := 0
	began := time.Now()
	err = t.send(r.ctx, func() (customer, bool) {
		if n >= total {
			return customer{}, false
		}
		n++
		return customers[(n-1)%len(customers)], true
	})
	return c.report(r, t, time.Since(began), err)
}

func (c replayCmd) report(r *run, t *traffic, took time.Duration, err error) error {
	if r.JSON {
		if jerr := r.json(map[string]any{"sent": t.sent.Load(), "answered": t.answered.Load(), "failed": t.failed.Load(),
			"labels": t.labelled.Load(), "seconds": took.Seconds(), "faults": t.report()}); jerr != nil {
			return jerr
		}
	} else {
		fmt.Fprintf(r.out, "sent %d, answered %d, failed %d, labels %d in %.1f s\n", t.sent.Load(), t.answered.Load(), t.failed.Load(), t.labelled.Load(), took.Seconds())
		for _, line := range t.report() {
			fmt.Fprintln(r.out, "  "+line)
		}
	}
	if t.failed.Load() > 0 {
		return fmt.Errorf("%d of %d requests failed", t.failed.Load(), t.sent.Load())
	}
	return err
}

// readCustomers reads a file as records to ask for. Faulty rows are left out and counted. A file without a target column gives no outcomes;
// labels says that they are wanted.
func readCustomers(path string, sp *spec.Spec, sch *dataset.Schema, change func(*dataset.Row), labels bool) (out []customer, quarantined int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	rd, err := dataset.NewReader(f, sch, dataset.ReaderOptions{Format: sp.Dataset.Format, Delimiter: sp.Dataset.Comma(), RequireLabel: labels, TakeRange: true})
	if err != nil && labels {
		err = fmt.Errorf("%w (--no-labels needs no target column)", err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	row := sch.NewRow()
	for {
		err := rd.Next(row)
		var fault *dataset.RecordError
		switch {
		case errors.Is(err, io.EOF):
			if len(out) == 0 {
				return nil, quarantined, fmt.Errorf("%s: no usable row (%d faulty)", path, quarantined)
			}
			return out, quarantined, nil
		case errors.As(err, &fault):
			quarantined++
			continue
		case err != nil:
			return nil, quarantined, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, newCustomer(sch, row, change))
	}
}

func newCustomer(sch *dataset.Schema, row *dataset.Row, change func(*dataset.Row)) customer {
	var c customer
	switch row.Label {
	case 1:
		c.outcome = sch.Positive()
	case 0:
		if c.outcome = sch.Negative(); c.outcome == spec.AnyOther {
			c.outcome = "false"
		}
	}
	change(row)
	c.record = sch.AppendJSON(nil, row, false)
	return c
}
