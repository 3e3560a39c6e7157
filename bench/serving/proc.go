package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of processor time in Linux's /proc.
const ticksPerSecond = 100

// stat is what /proc tells of a process.
type stat struct {
	parent int
	cpu    time.Duration // user and system
}

// parseStat reads /proc/<pid>/stat; the zero value stands for junk. The program's name, in brackets, may hold anything.
func parseStat(text string) stat {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return stat{}
	}
	number := func(i int) int {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0
		}
		return n
	}
	return stat{parent: number(1), cpu: time.Duration(number(11)+number(12)) * (time.Second / ticksPerSecond)}
}

// cpuOf returns the processor time so far of the processes and of all that descend from them and are running; 0 where /proc is not there.
func cpuOf(pids ...int) time.Duration {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	all := map[int]stat{}
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if text, err := os.ReadFile(path); err == nil { // else it has ended
			all[pid] = parseStat(string(text))
		}
	}
	var sum time.Duration
	for pid, s := range all {
		if descends(all, pid, pids) {
			sum += s.cpu
		}
	}
	return sum
}

// descends reports whether a process is one of the ancestors or below one.
func descends(all map[int]stat, pid int, ancestors []int) bool {
	for range len(all) {
		if slices.Contains(ancestors, pid) {
			return true
		}
		s, ok := all[pid]
		if !ok || s.parent == 0 {
			return false
		}
		pid = s.parent
	}
	return false
}

// residentOf returns the resident bytes of a process; 0 where /proc is not there.
func residentOf(pid int) int64 {
	return statusBytes(readText(fmt.Sprintf("/proc/%d/status", pid)), "VmRSS")
}

// statusBytes returns a size in a text like /proc/self/status, 0 where it has none.
func statusBytes(status, field string) int64 {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}

// noise watches how much of the processors other programs use, or the hypervisor withholds, while something is measured.
type noise struct {
	began  time.Time
	busy   time.Duration // of all processors
	own    time.Duration
	counts int // processors
}

// watch begins to watch.
func watch() noise {
	n := noise{began: time.Now(), own: cpuOf(os.Getpid())}
	n.busy, n.counts = parseProcessors(readText("/proc/stat"))
	return n
}

// others returns the share of all processors that programs had since then which this one did not start; 0 where /proc is not there. What
// workers used that have ended meanwhile must be passed as ended, as /proc knows them no more.
func (n noise) others(ended time.Duration) float64 {
	wall := time.Since(n.began)
	busy, count := parseProcessors(readText("/proc/stat"))
	if count == 0 || wall <= 0 {
		return 0
	}
	used := busy - n.busy - (cpuOf(os.Getpid()) - n.own) - ended
	return min(1, max(0, used.Seconds()/(wall.Seconds()*float64(count))))
}

// parseProcessors reads /proc/stat: user, nice, system, irq, softirq and steal are work, idle and iowait are not.
func parseProcessors(text string) (busy time.Duration, count int) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu"):
		case fields[0] == "cpu":
			for i, f := range fields[1:9] {
				if v, err := strconv.ParseInt(f, 10, 64); err == nil && i != 3 && i != 4 {
					busy += time.Duration(v) * (time.Second / ticksPerSecond)
				}
			}
		default:
			count++
		}
	}
	return busy, count
}

// describeHost says what the run is on, the load average at this moment among it.
func describeHost() string {
	parts := []string{}
	if name := cpuName(readText("/proc/cpuinfo")); name != "" {
		parts = append(parts, name)
	}
	parts = append(parts, fmt.Sprintf("%d processors", runtime.NumCPU()), runtime.GOOS+"/"+runtime.GOARCH, runtime.Version())
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
