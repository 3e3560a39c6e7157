package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"telco-churn-mlops/inference/backtest"
)

// print shows a report.
func (c *backtestCmd) print(r *run, rep *backtest.Report) error {
	if r.JSON {
		return r.json(rep)
	}
	var b strings.Builder
	count := func(n uint64) string { return humanize.Comma(int64(n)) }
	share := func(n, of uint64) string {
		return fmt.Sprintf("%s (%.2f %%)", count(n), 100*float64(n)/float64(max(1, of)))
	}
	fmt.Fprintf(&b, "%s against %s: %s rows in %.1f s\n", side(rep.Candidate), side(rep.Against), count(rep.Rows), rep.DurationS)
	if rep.Rows > 0 {
		fmt.Fprintf(&b, "  %-22s %s to %s, PREDICTIONS %d to %d\n", "period", rep.FirstAt.Local().Format(time.DateTime), rep.LastAt.Local().Format(time.DateTime), rep.From, rep.Through)
	}
	var by []string
	for _, v := range slices.Sorted(maps.Keys(rep.Answered)) {
		by = append(by, fmt.Sprintf("version %d %s", v, count(rep.Answered[v])))
	}
	fmt.Fprintf(&b, "  %-22s %s\n", "answered then by", strings.Join(by, ", "))
	for _, reason := range slices.Sorted(maps.Keys(rep.Skipped)) {
		fmt.Fprintf(&b, "  %-22s %s: %s\n", "not compared", count(rep.Skipped[reason]), skippedWords[reason])
	}
	if rep.LeftOut > 0 {
		fmt.Fprintf(&b, "  %-22s %s that another version answered\n", "left out", count(rep.LeftOut))
	}
	fmt.Fprintf(&b, "  %-22s %s\n", "scores that differ", share(rep.Differing, rep.Rows))
	fmt.Fprintf(&b, "  %-22s mean %.6f, greatest %.6f, PSI %.4f\n", "by how much", rep.MeanAbsDiff, rep.MaxAbsDiff, rep.PSI)
	fmt.Fprintf(&b, "  %-22s %s: %s to positive, %s to negative\n", "labels that turned", share(rep.Flips, rep.Rows), count(rep.ToPositive), count(rep.ToNegative))
	fmt.Fprintf(&b, "  %-22s %.4f, was %.4f\n", "mean score", rep.Candidate.MeanScore, rep.Against.MeanScore)
	if rep.Labelled > 0 {
		fmt.Fprintf(&b, "  %-22s %s: F1 %s, was %s; ROC-AUC %s, was %s\n", "with known outcome", count(rep.Labelled), figure(rep.Candidate.F1), figure(rep.Against.F1),
			figure(rep.Candidate.ROCAUC), figure(rep.Against.ROCAUC))
	} else {
		fmt.Fprintf(&b, "  %-22s none so far\n", "with known outcome")
	}
	if rep.Own.Rows > 0 {
		fmt.Fprintf(&b, "  %-22s %s of %s rows that version %d answered itself, to the bit\n", "came again", count(rep.Own.Rows-rep.Own.Differing), count(rep.Own.Rows), rep.Candidate.Version)
	}
	if _, err := r.out.Write([]byte(b.String())); err != nil {
		return err
	}
	return c.lists(r, rep)
}

// skippedWords says each reason in words.
var skippedWords = map[string]string{
	"junk":           "no predictions",
	"record":         "records that this model's columns refuse",
	"record_against": "records that the other model's columns refuse",
}

func (c *backtestCmd) lists(r *run, rep *backtest.Report) error {
	if len(rep.Slices) > 0 {
		fmt.Fprintln(r.out)
		if err := table(r, "WHERE MOST CHANGED\tROWS\tMEAN CHANGE\tLABELS TURNED", func(row func(...any)) {
			for _, s := range rep.Slices {
				row(fmt.Sprintf("%s = %s", cell(&s.Column), cell(&s.Value)), s.Rows, fmt.Sprintf("%+.4f", s.MeanChange), s.Flips)
			}
		}); err != nil {
			return err
		}
	}
	if len(rep.Changed) == 0 {
		return nil
	}
	fmt.Fprintln(r.out)
	return table(r, "CHANGED MOST\tENTITY\tAT\tVERSION THEN\tWAS\tIS\tLABEL", func(row func(...any)) {
		for _, x := range rep.Changed {
			label := ""
			if x.Flip {
				label = "turned"
			}
			row(cell(&x.PredictionID), cell(&x.EntityID), x.At.Local().Format(time.DateTime), x.Answered, fmt.Sprintf("%.4f", x.Against), fmt.Sprintf("%.4f", x.Score), label)
		}
	})
}

func side(s backtest.Side) string {
	switch {
	case s.Logged:
		return "what was answered"
	case s.Version > 0:
		return fmt.Sprintf("version %d", s.Version)
	}
	return "bundle " + strings.TrimPrefix(s.Digest, "sha256:")[:12]
}

func figure(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *v)
}
