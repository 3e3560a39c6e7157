package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
)

// batchResult is what a run over a file of customers came to.
type batchResult struct {
	Rows    int64         `json:"rows"`
	Written int64         `json:"written"` // bytes of the output
	Wall    time.Duration `json:"wall_ns"`
	CPU     time.Duration `json:"cpu_ns"`
	Peak    int64         `json:"peak"` // resident bytes at the most
}

// measureBatch scores the customers of the CSV file Bodies by Bundle to a file beside it, on Clients goroutines and processors.
func measureBatch(ctx context.Context, t task) (any, error) {
	runtime.GOMAXPROCS(t.Clients)
	b, err := readBundle(t.Bundle)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(t.Bodies)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	input, err := batch.NewFile(f)
	if err != nil {
		return nil, err
	}
	folder, err := os.OpenRoot(filepath.Dir(t.Bodies))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return timed(func() (int64, int64, error) {
		r, err := batch.Run(ctx, batch.Job{Bundle: b, Version: 1, Input: input, Folder: folder, Output: "scores.csv", Threads: t.Clients, Force: true})
		if err != nil {
			return 0, 0, err
		}
		if r.Faulty > 0 {
			return 0, 0, fmt.Errorf("%d rows are faulty", r.Faulty)
		}
		return r.Rows, r.Size, nil
	})
}

// measureCopy reads the file Bodies and writes Bytes of it in its place to another, which is what any program that does this has to do at least; it counts the
// lines meanwhile.
func measureCopy(_ context.Context, t task) (any, error) {
	runtime.GOMAXPROCS(1)
	in, err := os.Open(t.Bodies)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(filepath.Dir(t.Bodies), "copy.csv"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	return timed(func() (int64, int64, error) {
		buffer := make([]byte, 256<<10)
		var rows, written int64
		for {
			n, err := in.Read(buffer)
			for _, c := range buffer[:n] {
				if c == '\n' {
					rows++
				}
			}
			if left := int64(t.Bytes) - written; left > 0 && n > 0 {
				m, err := out.Write(buffer[:min(int64(n), left)])
				if err != nil {
					return 0, 0, err
				}
				written += int64(m)
			}
			switch {
			case errors.Is(err, io.EOF):
				return rows - 1, written, out.Sync() // without the header
			case err != nil:
				return 0, 0, err
			}
		}
	})
}

// measureParts times the parts of the work by themselves on one goroutine: reading the customers of Bodies as records, and scoring records that are in memory.
func measureParts(ctx context.Context, t task) (any, error) {
	runtime.GOMAXPROCS(1)
	b, err := readBundle(t.Bundle)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(t.Bodies)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := dataset.NewReader(bufio.NewReaderSize(f, 1<<20), b.Schema, dataset.ReaderOptions{})
	if err != nil {
		return nil, err
	}
	var kept []*dataset.Row
	row := b.Schema.NewRow()
	decode, err := timed(func() (n int64, _ int64, err error) {
		for {
			switch err := r.Next(row); {
			case errors.Is(err, io.EOF):
				return n, 0, nil
			case err != nil:
				return 0, 0, err
			}
			if n++; n%997 == 0 {
				kept, row = append(kept, row), b.Schema.NewRow()
			}
			if ctx.Err() != nil {
				return 0, 0, context.Cause(ctx)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	scorer := b.NewScorer()
	score, err := timed(func() (n int64, _ int64, err error) {
		sum := 0.0
		for n < decode.Rows && len(kept) > 0 {
			for _, row := range kept {
				sum += scorer.Score(row).Probability
			}
			n += int64(len(kept))
		}
		if !(sum >= 0) { // sum is used, so that nothing above can be left out
			return 0, 0, fmt.Errorf("scores add to %v", sum)
		}
		return n, 0, nil
	})
	return map[string]*batchResult{"decode": decode, "score": score}, err
}

func readBundle(path string) (*model.Bundle, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b, err := model.Decode(data)
	if err != nil {
		return nil, err
	}
	return b, b.Verify()
}

// timed does a job once.
func timed(job func() (rows, written int64, err error)) (*batchResult, error) {
	cpu, begin := measure.CPU(os.Getpid()), time.Now()
	rows, written, err := job()
	if err != nil {
		return nil, err
	}
	_, peak := measure.Memory(os.Getpid())
	return &batchResult{Rows: rows, Written: written, Wall: time.Since(begin), CPU: measure.CPU(os.Getpid()) - cpu, Peak: peak}, nil
}
