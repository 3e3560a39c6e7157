package main

import (
	"bufio"

	"telco-churn-mlops/internal/synth"
)

type generateCmd struct {
	Rows   int    `name:"rows" default:"7043" help:"How many customers."`
	Seed   uint64 `name:"seed" default:"1" help:"The same seed gives the same bytes."`
	Regime string `name:"regime" default:"original" enum:"original,shifted" help:"Relation between columns and churn: ${enum}."`
	Prefix string `name:"id-prefix" help:"Start of every customer id." placeholder:"TEXT"`
}

// Run writes the customers.
func (c generateCmd) Run(r *run) error {
	w := bufio.NewWriterSize(r.out, 1<<16)
	if err := synth.WriteCSV(w, synth.Config{Rows: c.Rows, Seed: c.Seed, Regime: synth.Regime(c.Regime), IDPrefix: c.Prefix}); err != nil {
		return err
	}
	return w.Flush()
}
