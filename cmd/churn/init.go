package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
)

type initCmd struct {
	Data     string `name:"data" required:"" help:"CSV to describe." type:"existingfile"`
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
	name := c.Name
	if name == "" {
		name = modelName(c.Data)
	}
	if !events.PlainName(name) {
		return fmt.Errorf("--name %q: want letters, digits, _ and -", name)
	}
	sp, notes, err := spec.Infer(f, spec.InferOptions{Name: name, Path: c.Data, Target: c.Target, ID: c.ID, Positive: c.Positive})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Data, err)
	}
	out, err := sp.Marshal()
	if err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintln(os.Stderr, n)
	}
	_, err = r.out.Write(out)
	return err
}

// modelName makes a model's name of a file's.
func modelName(path string) string {
	base := strings.ToLower(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	name := strings.Trim(strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			return c
		}
		return '-'
	}, base), "-")
	if name == "" {
		return "model"
	}
	return name
}
