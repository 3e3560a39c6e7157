package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// noise watches how much of the processors other programs use, or the hypervisor withholds, while something is measured.
type noise struct {
	began  time.Time
	pids   []int // ours
	before usage
}

// usage is processor time in ticks of a hundredth of a second, and the number of processors.
type usage struct {
	all, own float64
	n        int
}

// watch begins to watch; the processes are this one and those named.
func watch(pids ...int) noise {
	n := noise{began: time.Now(), pids: append(pids, os.Getpid())}
	n.before = n.read()
	return n
}

// others returns the share of all processors that others had since then; 0 where /proc is not there.
func (n noise) others() float64 {
	now := n.read()
	ticks := time.Since(n.began).Seconds() * 100 * float64(now.n)
	if now.n == 0 || ticks == 0 {
		return 0
	}
	return min(1, max(0, (now.all-n.before.all-(now.own-n.before.own))/ticks))
}

func (n noise) read() usage {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}
	}
	u := parseProcessors(string(stat))
	for _, pid := range n.pids {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
			u.own += processTicks(string(text))
		}
	}
	return u
}

// parseProcessors reads /proc/stat: user, nice, system, irq, softirq and steal are work, idle and iowait are not.
func parseProcessors(stat string) (u usage) {
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu"):
		case fields[0] == "cpu":
			for i, f := range fields[1:9] {
				if v, err := strconv.ParseFloat(f, 64); err == nil && i != 3 && i != 4 {
					u.all += v
				}
			}
		default:
			u.n++
		}
	}
	return u
}

// processTicks reads the user and system time in /proc/<pid>/stat. The program's name, in brackets, may hold anything.
func processTicks(stat string) (ticks float64) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	for _, at := range []int{11, 12} {
		if at < len(fields) {
			if v, err := strconv.ParseFloat(fields[at], 64); err == nil {
				ticks += v
			}
		}
	}
	return ticks
}
