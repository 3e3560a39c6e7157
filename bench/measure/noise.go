package measure

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// Noise watches how much of the processors other programs use, or the hypervisor withholds, while something is measured.
type Noise struct {
	began  time.Time
	busy   time.Duration // of all processors
	own    time.Duration
	counts int // processors
}

// Watch begins to watch.
func Watch() Noise {
	n := Noise{began: time.Now(), own: CPU(os.Getpid())}
	n.busy, n.counts = parseProcessors(readText("/proc/stat"))
	return n
}

// Others returns the share of all processors that programs had since then which this one did not start; 0 where /proc is not there. What
// workers used that have ended meanwhile must be passed as ended, as /proc knows them no more.
func (n Noise) Others(ended time.Duration) float64 {
	wall := time.Since(n.began)
	busy, count := parseProcessors(readText("/proc/stat"))
	if count == 0 || wall <= 0 {
		return 0
	}
	used := busy - n.busy - (CPU(os.Getpid()) - n.own) - ended
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
