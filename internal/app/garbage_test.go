package app

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

var garbage []byte

// TestRoomForGarbage makes 256 MiB of garbage with a room of 64 MiB: the runtime alone would collect 64 times.
func TestRoomForGarbage(t *testing.T) {
	t.Setenv("GOGC", "")
	RoomForGarbage(64 << 20)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	collections := m.NumGC
	for range 256 << 10 {
		garbage = make([]byte, 1<<10)
	}
	runtime.ReadMemStats(&m)
	require.LessOrEqual(t, m.NumGC-collections, uint32(20))
	require.GreaterOrEqual(t, m.NumGC-collections, uint32(1), "a room is no licence")
}

func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		room, live uint64
		want       int
	}{
		{64 << 20, 0, 1500}, {64 << 20, 8 << 20, 700}, {64 << 20, 16 << 20, 300}, {64 << 20, 64 << 20, 100}, {64 << 20, 1 << 30, 100},
	} {
		require.Equal(t, c.want, percentFor(c.room, c.live), "%+v", c)
	}
}

// TestRoomIsLeftToTheEnvironment holds that who sets GOGC has the last word.
func TestRoomIsLeftToTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "50")
	before := debug.SetGCPercent(50)
	defer debug.SetGCPercent(before)
	RoomForGarbage(64 << 20)
	require.Equal(t, 50, debug.SetGCPercent(50))
}
