package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// report returns the whole outcome as Markdown.
func (b *bench) report(host string) string {
	var out strings.Builder
	b.head(&out, host)
	for _, s := range sections {
		rows := b.section(s.name)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&out, "\n### %s\n\n", s.title)
		if s.name == "folds" {
			foldsTable(&out, rows)
			continue
		}
		mainTable(&out, rows)
		detailTable(&out, rows)
	}
	return out.String()
}

// summary returns the head and the main rows alone.
func (b *bench) summary(host string) string {
	var out strings.Builder
	b.head(&out, host)
	out.WriteString("\n")
	timedRows := slices.DeleteFunc(slices.Clone(b.rows), func(r row) bool { return !r.main || r.section == "folds" })
	mainTable(&out, timedRows)
	if rows := b.section("folds"); len(rows) > 0 {
		out.WriteString("\n")
		foldsTable(&out, rows)
	}
	return out.String()
}

func (b *bench) section(name string) []row {
	return slices.DeleteFunc(slices.Clone(b.rows), func(r row) bool { return r.section != name })
}

// head writes what the figures were measured on, how, and what is missing.
func (b *bench) head(out *strings.Builder, host string) {
	fmt.Fprintf(out, "%s.", host)
	if b.installed != nil {
		var versions []string
		for _, name := range []string{"python", "numpy", "pandas", "sklearn", "xgboost"} {
			if v := b.installed[name]; v != "" {
				versions = append(versions, name+" "+v)
			}
		}
		fmt.Fprintf(out, " Peers: %s.", strings.Join(versions, ", "))
	}
	fmt.Fprintf(out, "\nMedian of %s, each a process of its own, the sides by turns; the least and greatest in brackets.", plural(b.sizes.rounds, "run"))
	if worst := b.worstNoise(); worst > 0 {
		fmt.Fprintf(out, " Other programs took at most %.0f %% of the processors during a run; more than 10 %% is marked noisy.", 100*worst)
	}
	if b.config.Quick {
		out.WriteString(" **A quick run at small sizes: its figures say nothing.**")
	}
	out.WriteString("\n")
	for _, r := range b.Remarks() {
		fmt.Fprintf(out, "\n- %s", r)
	}
	if len(b.Remarks()) > 0 {
		out.WriteString("\n")
	}
}

func (b *bench) worstNoise() float64 {
	var worst float64
	for _, r := range b.rows {
		worst = max(worst, r.ours.others)
		for _, p := range r.peers {
			worst = max(worst, p.others)
		}
	}
	return worst
}

// mainTable writes one line for each row and peer.
func mainTable(out *strings.Builder, rows []row) {
	out.WriteString("| what | ours | peer | ours / peer | goal |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		what := r.what
		if r.remark != "" {
			what += " (" + r.remark + ")"
		}
		if len(r.peers) == 0 {
			fmt.Fprintf(out, "| %s | %s | none | | %s |\n", what, r.show(r.ours), r.verdict())
		}
		for i, p := range r.peers {
			first, verdict := what, r.verdict()
			if i > 0 {
				first, verdict = "", ""
			}
			fmt.Fprintf(out, "| %s | %s | %s: %s | %s | %s |\n", first, r.show(r.ours), p.side, r.show(p), r.compared(p), verdict)
		}
	}
}

// show writes a measurement's median and range in the row's unit.
func (r row) show(m measurement) string {
	f := m.value
	text := number(f.Median)
	if f.N > 1 {
		text += fmt.Sprintf(" (%s to %s)", number(f.Min), number(f.Max))
	}
	if r.unit == "" {
		return text
	}
	return text + " " + r.unit
}

// number writes three digits that count.
func number(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprint(v)
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	return fmt.Sprintf("%.*f", min(digits, 6), v)
}

// detailTable writes processor time, memory, losses and noise, where a section has them.
func detailTable(out *strings.Builder, rows []row) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.ours.cpu == 0 })
	if len(rows) == 0 {
		return
	}
	out.WriteString("\n| what | side | processor time | peak of the process, MB | of that the work, MB | log loss, training / holdout | others |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		for i, m := range append([]measurement{r.ours}, r.peers...) {
			what, losses, memory := r.what, "", ""
			if i > 0 {
				what = ""
			}
			if m.trainLoss > 0 {
				losses = fmt.Sprintf("%.5f / ", m.trainLoss)
				if m.holdoutLoss > 0 {
					losses += fmt.Sprintf("%.5f", m.holdoutLoss)
				} else {
					losses += "-"
				}
			}
			if m.peak > 0 {
				memory = fmt.Sprintf("%.0f", float64(m.peak-m.before)/1e6)
			}
			if r.rows > 0 && m.peak > 0 {
				memory += fmt.Sprintf(" (%.0f bytes a row", float64(m.peak-m.before)/float64(r.rows))
				if m.quantized > 0 {
					memory += fmt.Sprintf(", %.0f of them quantized", float64(m.quantized)/float64(r.rows))
				}
				memory += ")"
			}
			ratio := ""
			if i > 0 && m.cpu > 0 {
				ratio = fmt.Sprintf(", ours / peer %s", times(r.ours.cpu/m.cpu))
			}
			fmt.Fprintf(out, "| %s | %s | %s %s%s | %.0f | %s | %s | %.0f %% |\n", what, m.side, number(m.cpu), r.unit, ratio, float64(m.peak)/1e6, memory, losses, 100*m.others)
		}
	}
}

// foldsTable writes the comparison of scores.
func foldsTable(out *strings.Builder, rows []row) {
	out.WriteString("| scores on the real file | ours | peer | ours - peer, sd over folds | folds won | goal |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		for i, p := range r.peers {
			what, verdict := r.what, r.verdict()
			if i > 0 {
				what, verdict = "", ""
			}
			d := r.pairs[i]
			fmt.Fprintf(out, "| %s | %.4f | %s: %.4f | %+.4f ± %.4f | %d of %d | %s |\n", what, r.ours.value.Median, p.side, p.value.Median, d.Difference, d.SD, d.Won, d.N, verdict)
		}
	}
}
