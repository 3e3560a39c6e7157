package main

import (
	"fmt"
	"os"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
)

type initCmd struct {
	Data     string `name:"data" required:"" help:"CSV to describe." placeholder:"FILE"`
	Target   string `name:"target" required:"" help:"Column to predict." placeholder:"COLUMN"`
	ID       string `name:"id" help:"Column that identifies a row's entity; a digest of the row by default." placeholder:"COLUMN"`
	Positive string `name:"positive" help:"Value of the target that counts as positive; Yes, 1, True and the like are found." placeholder:"VALUE"`
	Name     string `name:"name" help:"Name of the model; made from the file's name by default."`
}

// Run writes the spec to standard output and what was decided to standard error. The data's path stays as it was given.
func (c initCmd) Run(r *run) error {
	f, err := os.Open(c.Data)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.Name != "" && !events.PlainName(c.Name) {
		return fmt.Errorf("--name %q: want letters, digits, _ and -", c.Name)
	}
	sp, notes, err := spec.Infer(f, spec.InferOptions{Name: c.Name, Path: c.Data, Target: c.Target, ID: c.ID, Positive: c.Positive})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Data, err)
	}
	out, err := sp.Marshal()
	if err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintln(r.errs, n)
	}
	_, err = r.out.Write(out)
	return err
}
