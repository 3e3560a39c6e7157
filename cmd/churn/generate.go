package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"telco-churn-mlops/internal/synth"
)

type generateCmd struct {
	Rows   int    `name:"rows" default:"7043" help:"How many customers."`
	Seed   uint64 `name:"seed" default:"1" help:"The same seed gives the same bytes."`
	Regime string `name:"regime" default:"original" enum:"original,shifted" help:"Relation between columns and churn: ${enum}."`
	Prefix string `name:"id-prefix" help:"Start of every customer id." placeholder:"TEXT"`
	Output string `name:"output" short:"o" help:"File to write, which appears once it is whole; standard output by default." placeholder:"FILE"`
}

// Run writes the customers.
func (c generateCmd) Run(r *run) error {
	if c.Output == "" {
		return c.write(r.out)
	}
	f, err := os.CreateTemp(filepath.Dir(c.Output), ".generate-*")
	if err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	err = c.write(f)
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.Output)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error to report is the first
		return fmt.Errorf("generate %s: %w", c.Output, err)
	}
	return nil
}

func (c generateCmd) write(out io.Writer) error {
	w := bufio.NewWriterSize(out, 1<<16)
	if err := synth.WriteCSV(w, synth.Config{Rows: c.Rows, Seed: c.Seed, Regime: synth.Regime(c.Regime), IDPrefix: c.Prefix}); err != nil {
		return err
	}
	return w.Flush()
}
