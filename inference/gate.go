package inference

import "sync/atomic"

// gate bounds the requests that are in work, over all transports together. Passing it is one atomic addition.
type gate struct {
	in   atomic.Int64
	most int64
}

// enter takes a place, or reports that there is none.
func (g *gate) enter() bool {
	if g.in.Add(1) <= g.most {
		return true
	}
	g.in.Add(-1)
	return false
}

// leave gives the place back.
func (g *gate) leave() { g.in.Add(-1) }

// inFlight returns how many places are taken. It can be above the bound for the moment in which a request is refused.
func (g *gate) inFlight() int64 { return min(g.in.Load(), g.most) }
