package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/internal/block"
)

//go:embed peer.py
var peerScript []byte

// install is how to get the peers on Debian and Ubuntu.
const install = "apt-get install -y python3-sklearn python3-xgboost python3-pandas"

// bench is one run of the driver.
type bench struct {
	config    Config
	sizes     sizes
	dir       string // of generated data
	ours      side
	python    side
	installed map[string]string // versions of the peers
	taskset   string            // the program, or empty
	processor int               // that pinned tasks are kept to
	*measure.Diary
	rows []row
}

// section is a group of measurements.
type section struct {
	name, title string
	run         func(context.Context, *bench) ([]row, error)
}

var sections = []section{
	{"fit", "Fitting 100 trees of 31 leaves", fitSection},
	{"slow", "Fitting what scikit-learn can finish", slowSection},
	{"telco", "Fitting the Telco file, features included", telcoSection},
	{"row", "Scoring one row", rowSection},
	{"batch", "Scoring many rows", batchSection},
	{"csv", "Reading CSV", csvSection},
	{"scale", "Time and memory against rows and columns", scaleSection},
	{"folds", "Scores on the real file", foldsSection},
}

func sectionNames() []string {
	names := make([]string, len(sections))
	for i, s := range sections {
		names[i] = s.name
	}
	return names
}

// drive runs the sections, prints the report and rewrites the blocks that the configuration names.
func drive(ctx context.Context, c Config, out, progress io.Writer) error {
	b, err := newBench(ctx, c, progress)
	if err != nil {
		return err
	}
	if c.Work == "" {
		defer os.RemoveAll(b.dir)
	}
	host := measure.Host()
	for _, s := range sections {
		if c.Only != nil && !slices.Contains(c.Only, s.name) {
			continue
		}
		b.Say("section %s: %s", s.name, strings.ToLower(s.title[:1])+s.title[1:])
		rows, err := s.run(ctx, b)
		if err != nil {
			// What was measured before may have taken minutes.
			b.Remark("The run ended in section %s: what comes after it is missing.", s.name)
			_, outErr := io.WriteString(out, b.report(host))
			return errors.Join(fmt.Errorf("section %s: %w", s.name, err), outErr)
		}
		for i := range rows {
			rows[i].section = s.name
		}
		b.rows = append(b.rows, rows...)
	}
	b.Say("done")
	full := b.report(host)
	if _, err := io.WriteString(out, full); err != nil {
		return err
	}
	for i, path := range c.Out {
		text := full
		if i > 0 {
			text = b.summary(host)
		}
		if err := block.Rewrite(path, "bench-learner", text); err != nil {
			return err
		}
	}
	return nil
}

// newBench makes the folders, finds the peers and says which are missing.
func newBench(ctx context.Context, c Config, progress io.Writer) (*bench, error) {
	b := &bench{config: c, sizes: c.sizes(), dir: c.Work, Diary: measure.NewDiary(progress)}
	for _, folder := range []string{c.Work, c.Profiles} {
		if folder == "" {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if b.dir == "" {
		b.dir, err = os.MkdirTemp("", "bench-learner-")
	} else {
		b.dir, err = filepath.Abs(b.dir)
	}
	if err != nil {
		return nil, err
	}
	if b.ours, err = ours(); err != nil {
		return nil, err
	}
	script := filepath.Join(b.dir, "peer.py")
	if err := os.WriteFile(script, peerScript, 0o644); err != nil {
		return nil, err
	}
	b.python = peer("python", c.Python, script)
	if b.taskset, err = exec.LookPath("taskset"); err != nil {
		b.Remark("taskset is not installed: what is said to be on one core ran on one thread that the system could move.")
	}
	b.processor = lastProcessor()
	if b.installed, err = b.versions(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b.Remark("No peer could run (%v): only our side is measured. On Debian or Ubuntu: `%s`.", err, install)
	}
	for _, name := range []string{"xgboost", "sklearn", "pandas"} {
		if b.installed != nil && b.installed[name] == "" {
			b.Remark("%s is not installed for %s: its figures are missing. On Debian or Ubuntu: `%s`.", name, c.Python, install)
		}
	}
	return b, nil
}

// has reports whether all of the named Python packages are there.
func (b *bench) has(names ...string) bool {
	for _, n := range names {
		if b.installed[n] == "" {
			return false
		}
	}
	return true
}

// as names the Python side in a table.
func (b *bench) as(name string) side {
	s := b.python
	s.name = name
	return s
}
