package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry"
)

// funcs are what the templates call.
func (p *site) funcs() template.FuncMap {
	return template.FuncMap{
		"ago":        func(t time.Time) string { return ago(t, p.s.Now()) },
		"utc":        utc,
		"number":     number,
		"pointer":    pointer,
		"bytes":      size,
		"plural":     plural,
		"short":      func(id string) string { return cut(id, 10) },
		"cut":        cut,
		"millis":     func(ms float64) string { return duration(time.Duration(ms * float64(time.Millisecond))) },
		"beside":     func(p registry.Promotion) bool { return beside(&p.ModelPromoted) },
		"model":      modelPath,
		"version":    versionPath,
		"run":        runPath,
		"millisTime": millis,
		"named":      func(address, name string) named { return named{address, name} },
		"indented":   func(raw json.RawMessage) string { return indented(raw) },
		"tableOf":    func(t compareTable, runs []runRow) comparedRuns { return comparedRuns{t, runs} },
		"drift":      driftPath,
		"column":     columnOf,
		"stateWords": stateWords,
		"twice":      func(v float64) float64 { return 2 * v },
		"at": func(metrics map[string]float64, name string) string {
			if v, ok := metrics[name]; ok {
				return number(v)
			}
			return ""
		},
		"sideOf":       sideOf,
		"joined":       func(words []string) string { return strings.Join(words, ", ") },
		"stageClass":   classes(map[events.Stage]string{events.StageProduction: "good", events.StageStaging: "warn"}),
		"verdictClass": classes(map[events.Verdict]string{events.VerdictPromotable: "good", events.VerdictRejected: "bad"}),
		"statusClass":  classes(map[events.RunStatus]string{events.StatusFinished: "good", events.StatusRunning: "warn", events.StatusFailed: "bad", events.StatusKilled: "bad"}),
		"stateClass":   classes(map[events.ColumnState]string{events.StatePending: "warn", events.StateFiring: "bad", events.StateOK: "good"}),
	}
}

// named is what an example of a client's code is about.
type named struct{ Address, Name string }

// classes returns a function that gives a state its CSS class, "soft" for one that has none.
func classes[S ~string](m map[S]string) func(S) string {
	return func(s S) string {
		if c, ok := m[s]; ok {
			return c
		}
		return "soft"
	}
}

// number shows four decimals, whole numbers as they are, and very small and very large ones with an exponent.
func number(value any) string {
	var v float64
	switch n := value.(type) {
	case float64:
		v = n
	case events.Number:
		v = float64(n)
	case int:
		return strconv.Itoa(n)
	default:
		return fmt.Sprint(value)
	}
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return strings.ReplaceAll(strconv.FormatFloat(v, 'f', 0, 64), "Inf", "∞")
	case math.Abs(v) < 1e12 && v == math.Trunc(v):
		return strconv.FormatInt(int64(v), 10)
	case math.Abs(v) < 1e-3 || math.Abs(v) >= 1e9:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

func pointer(v *float64) string {
	if v == nil {
		return "–"
	}
	return number(*v)
}

func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// millis is a client's time; 0 means none.
func millis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// ago says in words how long before now t was, or how long after.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	form := "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	for _, u := range []struct {
		words string
		size  time.Duration
	}{{"year", 365 * 24 * time.Hour}, {"month", 30 * 24 * time.Hour}, {"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		if n := int64(d / u.size); n > 0 && (u.size > time.Second || n >= 5) {
			return fmt.Sprintf(form, fmt.Sprintf("%d %s", n, plural(n, u.words, u.words+"s")))
		}
	}
	return "just now"
}

// duration shows the two greatest units, milliseconds to a tenth.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "–"
	case d < time.Second:
		return strconv.FormatFloat(math.Round(10*float64(d)/float64(time.Millisecond))/10, 'f', -1, 64) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func plural(n any, one, many string) string {
	if fmt.Sprint(n) == "1" {
		return one
	}
	return many
}

// cut shortens text to a number of runes.
func cut(text string, most int) string {
	n := 0
	for i := range text {
		if n == most {
			return text[:i] + "…"
		}
		n++
	}
	return text
}

// indentedMost bounds what indenting makes of JSON: nested deep, a short text would become a page of gigabytes.
const indentedMost = 1 << 20

// indented returns JSON over lines, and as it is what is none or would grow beyond [indentedMost].
func indented(raw []byte) string {
	var out bytes.Buffer
	if indentedSize(raw) > indentedMost || json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
}

// indentedSize is at least how many bytes indented JSON has, as long as they are no more than [indentedMost].
func indentedSize(raw []byte) int {
	n, depth, quoted := len(raw), 0, false
	for i := 0; i < len(raw) && n <= indentedMost; i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			n += 1 + 2*depth
		case c == ']' || c == '}':
			depth--
			n += 1 + 2*max(depth, 0)
		case c == ',' || c == ':':
			n += 1 + 2*max(depth, 0)
		}
	}
	return n
}
