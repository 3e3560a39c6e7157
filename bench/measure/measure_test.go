package measure

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSummarize(t *testing.T) {
	odd := []float64{3, 1, 2}
	require.Equal(t, Figures{2, 1, 3, 3}, Summarize(odd))
	require.Equal(t, []float64{3, 1, 2}, odd)
	require.Equal(t, Figures{2.5, 1, 4, 4}, Summarize([]float64{4, 1, 2, 3}))
	require.Equal(t, Figures{5, 2.5, 10, 4}, Figures{2, 1, 4, 4}.Inverse(10))
	require.Equal(t, Figures{6, 3, 12, 4}, Figures{2, 1, 4, 4}.Scale(3))
}

func TestThousands(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 999.4: "999", 999.6: "1,000", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, Thousands(n))
	}
	require.Equal(t, "1,234,567", Thousands(1234567))
}

func TestHost(t *testing.T) {
	require.Equal(t, "A CPU (family 25, model 17)", cpuName("processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: A CPU\n\nprocessor\t: 1\nmodel\t: 99\n"))
	require.Empty(t, cpuName(""))
	require.Contains(t, Host(), "processor")
}

func TestProc(t *testing.T) {
	require.Equal(t, stat{parent: 7, cpu: 300 * time.Millisecond}, parseStat("8 (a) name) S 7 2 3 4 5 6 7 8 9 10 20 10 0 0"))
	require.Zero(t, parseStat("junk"))
	busy, count := parseProcessors("cpu  100 1 20 500 50 3 4 5 0 0\ncpu0 1 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1 1\nintr 5\n")
	require.Equal(t, 1330*time.Millisecond, busy)
	require.Equal(t, 2, count)
	all := map[int]stat{1: {}, 5: {parent: 1}, 6: {parent: 5}, 7: {parent: 6}, 8: {parent: 1}}
	require.True(t, descends(all, 7, []int{5}))
	require.False(t, descends(all, 8, []int{5}))
	const status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n"
	require.EqualValues(t, 1<<20, statusBytes(status, "VmRSS"))
	require.EqualValues(t, 2<<20, statusBytes(status, "VmHWM"))
	require.Zero(t, statusBytes(status, "VmSwap"))
}

func TestNoise(t *testing.T) {
	n := Watch()
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); { // work of our own is none of the others'
	}
	require.GreaterOrEqual(t, n.Others(0), 0.0)
	require.LessOrEqual(t, n.Others(0), 1.0)
	require.Zero(t, n.Others(time.Hour))
	if _, err := os.Stat("/proc/self/stat"); err == nil {
		require.Positive(t, CPU(os.Getpid()))
		resident, peak := Memory(os.Getpid())
		require.Positive(t, resident)
		require.GreaterOrEqual(t, peak, resident)
	}
}

func TestDiary(t *testing.T) {
	var out bytes.Buffer
	d := NewDiary(&out)
	d.Remark("%s is missing", "it")
	d.Remark("it is missing")
	d.Say("done")
	require.Equal(t, []string{"it is missing"}, d.Remarks())
	require.Regexp(t, `^ +\d+\.\ds  it is missing\n +\d+\.\ds  done\n$`, out.String())
}
