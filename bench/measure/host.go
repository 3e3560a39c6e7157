package measure

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Host says what the run is on, the load average at this moment among it.
func Host() string {
	parts := []string{}
	if name := cpuName(readText("/proc/cpuinfo")); name != "" {
		parts = append(parts, name)
	}
	processors := "1 processor"
	if n := runtime.NumCPU(); n > 1 {
		processors = fmt.Sprintf("%d processors", n)
	}
	parts = append(parts, processors, runtime.GOOS+"/"+runtime.GOARCH, runtime.Version())
	if f := strings.Fields(readText("/proc/loadavg")); len(f) > 2 {
		parts = append(parts, fmt.Sprintf("load average at the start %s %s %s", f[0], f[1], f[2]))
	}
	return strings.Join(parts, ", ")
}

// cpuName returns the model's name out of /proc/cpuinfo, with what a name alone does not tell: its family and model.
func cpuName(info string) string {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		key, value, ok := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); ok && fields[key] == "" {
			fields[key] = strings.TrimSpace(value)
		}
	}
	if fields["model name"] == "" {
		return ""
	}
	return fmt.Sprintf("%s (family %s, model %s)", fields["model name"], fields["cpu family"], fields["model"])
}

// readText returns a file's text, empty where it can't be read.
func readText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}
