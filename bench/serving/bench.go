package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/internal/block"
)

// bench is one run of the driver.
type bench struct {
	config  Config
	self    string // this program
	dir     string // of stores and data
	wrk     string // the program, or empty
	records [][]byte
	trained [][]byte      // the bundles, once there are any
	world   *world        // nil until a section needs it
	spent   time.Duration // by processes that have ended
	quiet   bool          // the prediction log can be switched off
	*measure.Diary
	chapters []chapter
}

// section is a group of measurements.
type section struct {
	name, title string
	run         func(context.Context, *bench) (chapter, error)
}

// chapter is what a section found.
type chapter struct {
	title    string
	findings []finding
	// detail is Markdown: the tables behind the findings.
	detail string
}

var sections = []section{
	{"record", "One record in process", recordSection},
	{"score", "Scoring alone", scoreSection},
	{"http", "POST /predict beside handlers that do nothing", httpSection},
	{"nats", "predict.<model> over NATS beside a bare micro service", natsSection},
	{"python", "POST /predict beside Python", pythonSection},
	{"memory", "Memory over very many requests", memorySection},
	{"promotions", "Promotions under full load", promotionsSection},
	{"batch", "Batch scoring, file to file", batchSection},
}

func sectionNames() []string {
	names := make([]string, len(sections))
	for i, s := range sections {
		names[i] = s.name
	}
	return names
}

// drive runs the sections, prints the report and rewrites the blocks that the configuration names.
func drive(ctx context.Context, c Config, out, progress io.Writer) (err error) {
	b, err := newBench(ctx, c, progress)
	if err != nil {
		return err
	}
	if c.Work == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	}
	defer func() {
		if b.world != nil {
			err = errors.Join(err, b.world.close())
		}
	}()
	host := measure.Host()
	for _, s := range sections {
		if c.Only != nil && !slices.Contains(c.Only, s.name) {
			continue
		}
		b.Say("section %s: %s", s.name, s.title)
		found, err := s.run(ctx, b)
		if err != nil {
			// What was measured before may have taken minutes.
			b.Remark("The run ended in section %s: what comes after it is missing.", s.name)
			_, outErr := io.WriteString(out, b.report(host))
			return errors.Join(fmt.Errorf("section %s: %w", s.name, err), outErr)
		}
		found.title = s.title
		b.chapters = append(b.chapters, found)
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
		if err := block.Rewrite(path, "bench-serving", text); err != nil {
			return err
		}
	}
	return nil
}

// newBench makes the folders and the records and looks at what there is.
func newBench(ctx context.Context, c Config, progress io.Writer) (*bench, error) {
	b := &bench{config: c, dir: c.Work, Diary: measure.NewDiary(progress)}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.config.Bin == "" {
		b.config.Bin = filepath.Dir(b.self)
	}
	if b.config.Bin, err = filepath.Abs(b.config.Bin); err != nil {
		return nil, err
	}
	if b.dir == "" {
		b.dir, err = os.MkdirTemp("", "bench-serving-")
	} else if err = os.MkdirAll(b.dir, 0o755); err == nil {
		b.dir, err = filepath.Abs(b.dir)
	}
	if err != nil {
		return nil, err
	}
	if b.records, err = b.bodies(); err != nil {
		return nil, err
	}
	if err := b.findWrk(); err != nil {
		return nil, err
	}
	if b.quiet = b.canSwitchLogOff(ctx); !b.quiet {
		b.Remark("This build of inference can't switch its prediction log off: the rows without it are missing.")
	}
	return b, ctx.Err()
}
