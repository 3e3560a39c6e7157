package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/internal/synth"
)

// codedColumns is the number of columns of a customer.
const codedColumns = 19

// Levels in the order of their codes.
var (
	levelsOf3     = []string{"No", "No internet service", "Yes"}
	levelsLines   = []string{"No", "No phone service", "Yes"}
	levelsNet     = []string{"DSL", "Fiber optic", "No"}
	levelsPeriod  = []string{"Month-to-month", "One year", "Two year"}
	levelsPayment = []string{"Bank transfer (automatic)", "Credit card (automatic)", "Electronic check", "Mailed check"}
)

// code writes a customer as 19 whole numbers: categories by their place, months, and charges in steps of 5 cents, 0 where there are none
// yet. Every five columns have a numeric one first, so that a narrow set is like a wide one.
func code(c *synth.Customer, dst []float32) {
	flag := func(b bool) float32 {
		if b {
			return 1
		}
		return 0
	}
	place := func(levels []string, v string) float32 { return float32(slices.Index(levels, v)) }
	total := c.TotalCharges
	if math.IsNaN(total) {
		total = 0
	}
	copy(dst, []float32{
		float32(c.Tenure), place(levelsPeriod, c.Contract), place(levelsNet, c.InternetService), flag(c.Gender == "Male"), place(levelsOf3, c.OnlineSecurity),
		float32(math.Round(c.MonthlyCharges * 20)), place(levelsPayment, c.PaymentMethod), flag(c.SeniorCitizen), place(levelsOf3, c.TechSupport), flag(c.Partner),
		float32(math.Round(total * 20)), place(levelsOf3, c.OnlineBackup), flag(c.Dependents), place(levelsLines, c.MultipleLines), flag(c.PaperlessBilling),
		place(levelsOf3, c.DeviceProtection), flag(c.PhoneService), place(levelsOf3, c.StreamingTV), place(levelsOf3, c.StreamingMovies),
	})
}

// coded makes the files of a set of customers as numbers, unless they are there already, and returns their prefix. Sets of more than 19
// columns have those of further customers beside them, which say nothing about the label. The same arguments give the same bytes.
func (b *bench) coded(rows, width int, seed uint64) (prefix string, err error) {
	prefix = filepath.Join(b.dir, fmt.Sprintf("rows%d-width%d-seed%d", rows, width, seed))
	if _, err := os.Stat(prefix + ".y.npy"); err == nil {
		return prefix, nil
	}
	b.Say("generate %s rows of %d columns", measure.Thousands(rows), width)
	if err := writeCoded(prefix, rows, width, seed); err != nil {
		return "", fmt.Errorf("generate %s: %w", prefix, err)
	}
	return prefix, nil
}

func writeCoded(prefix string, rows, width int, seed uint64) error {
	var streams []*synth.Generator
	for k := range (width + codedColumns - 1) / codedColumns {
		g, err := synth.New(synth.Config{Rows: rows, Seed: seed + 1000*uint64(k), Regime: synth.Original})
		if err != nil {
			return err
		}
		streams = append(streams, g)
	}
	x, err := newNPY(prefix+".x.npy", rows, width)
	if err != nil {
		return err
	}
	// The labels get their name last: it says that the set is whole.
	y, err := newNPY(prefix+".part", rows, 0)
	if err != nil {
		return err
	}
	values := make([]float32, len(streams)*codedColumns)
	for range rows {
		for k, g := range streams {
			c, _ := g.NextCustomer()
			code(&c, values[k*codedColumns:(k+1)*codedColumns])
			if k == 0 {
				label := float32(0)
				if c.Churn {
					label = 1
				}
				err = errors.Join(err, y.append(label))
			}
		}
		for _, v := range values[:width] {
			err = errors.Join(err, x.append(v))
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(x.close(), y.close()); err != nil {
		return err
	}
	return os.Rename(prefix+".part", prefix+".y.npy")
}

// customers makes a CSV file of generated customers, unless it is there already.
func (b *bench) customers(rows int) (path string, err error) {
	path = filepath.Join(b.dir, fmt.Sprintf("customers%d.csv", rows))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	b.Say("generate %s customers as CSV", measure.Thousands(rows))
	f, err := os.Create(path + ".part")
	if err != nil {
		return "", err
	}
	err = errors.Join(synth.WriteCSV(f, synth.Config{Rows: rows, Seed: 1, Regime: synth.Original}), f.Close())
	if err != nil {
		return "", fmt.Errorf("generate %s: %w", path, err)
	}
	return path, os.Rename(path+".part", path)
}

// telco returns the real file, or generated customers of the same number, and which of them it is.
func (b *bench) telco() (path string, real bool, err error) {
	if _, err := os.Stat(b.config.Data); err == nil {
		path, err := filepath.Abs(b.config.Data)
		return path, true, err
	}
	path, err = b.customers(b.sizes.standIn)
	return path, false, err
}
