package measure

import (
	"fmt"
	"os"
	"path/filepath"
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

// CPU returns the processor time so far of the processes and of all that descend from them and are running; 0 where /proc is not there.
func CPU(pids ...int) time.Duration {
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

// Memory returns the resident bytes of a process and the most that they were; 0 where /proc is not there.
func Memory(pid int) (resident, peak int64) {
	status := readText(fmt.Sprintf("/proc/%d/status", pid))
	return statusBytes(status, "VmRSS"), statusBytes(status, "VmHWM")
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
