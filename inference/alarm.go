package inference

import (
	"sync/atomic"
	"time"
)

// alarmEvery is the pause between two log lines about what may happen with every request.
const alarmEvery = 10 * time.Second

// alarm lets one log line through at a time, so that what fails with every request doesn't fill the log, and costs the requests that work no
// processor. The zero value is ready; it is safe for concurrent use.
type alarm struct{ last atomic.Int64 }

// quiet reports whether a line was let through less than alarmEvery ago.
func (a *alarm) quiet(now time.Time) bool {
	at, last := now.UnixNano(), a.last.Load()
	return last != 0 && at-last < int64(alarmEvery) || !a.last.CompareAndSwap(last, at)
}
