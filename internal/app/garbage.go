package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// leastPercent is the runtime's own GOGC, below which nothing goes here.
const leastPercent = 100

// RoomForGarbage lets the heap grow to room bytes, what is live included, before the garbage in it is collected, where the runtime alone would go by
// what is live: a server with little state and much traffic collects many times a second otherwise, and spends a tenth of its processor on it, and its
// memory follows each backlog. A heap of which more than half of room is live is collected as ever, when it has doubled, and GOMEMLIMIT goes before
// all of it. It does nothing where the environment sets GOGC. Call it once, at the start of a program.
func RoomForGarbage(room uint64) {
	if os.Getenv("GOGC") == "" {
		(&collector{room: room}).tune()
	}
}

// collector holds GOGC where it leaves the room, anew after each collection.
type collector struct {
	room    uint64
	percent int // that is set, 0 for none yet
}

// tune sets GOGC by what was live at the last collection, and comes again after the next.
func (c *collector) tune() {
	if p := percentFor(c.room, liveHeap()); p*10 < c.percent*9 || p*9 > c.percent*10 { // to set it stops the world for a moment
		debug.SetGCPercent(p)
		c.percent = p
	}
	mark := &struct{ _ *collector }{} // garbage at once; with a pointer, as what has none can share its memory with what lives
	runtime.AddCleanup(mark, (*collector).tune, c)
}

// liveHeap returns how many bytes the runtime multiplies by GOGC: what was live at the end of the last collection, stacks, and globals.
func liveHeap() (sum uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return sum
}

// percentFor returns the GOGC that lets so many live bytes grow to room. A heap that was not collected yet counts as 4 MiB, as it does in the runtime.
func percentFor(room, live uint64) int {
	live = max(live, 4<<20)
	return int(max(leastPercent, (max(room, live)-live)*100/live))
}
