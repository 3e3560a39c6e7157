package main

import "fmt"

// row is one line of the tables: a quantity measured for us and for peers.
type row struct {
	section string
	what    string
	unit    string // "s", "ms", "ns", "M rows/s", "MB/s"
	higher  bool   // more is better
	ours    measurement
	peers   []measurement
	pairs   []pair // with each peer, where the row is about folds
	goal    goal
	main    bool // of the main table
	rows    int  // that were fitted, 0 where the row is about something else
	remark  string
}

// goal is what a row ought to reach. The zero value is none.
type goal struct {
	text string
	// ratio bounds ours over the first peer's, from above, or from below where more is better; 0 is no bound.
	ratio float64
	// value bounds our own figure likewise.
	value float64
	// difference bounds by how much the first peer's mean may be better than ours.
	difference float64
}

// ratio returns ours over a peer's.
func (r row) ratio(peer measurement) float64 { return r.ours.value.Median / peer.value.Median }

// ahead reports whether a peer's figure is better than ours.
func (r row) ahead(peer measurement) bool {
	if r.higher {
		return r.ratio(peer) < 1
	}
	return r.ratio(peer) > 1
}

// verdict says whether the goal was reached, with the goal; empty without one.
func (r row) verdict() string {
	g := r.goal
	if g.text == "" {
		return ""
	}
	var have, want float64
	switch {
	case g.ratio > 0 && len(r.peers) == 0:
		return g.text + ": no peer"
	case g.ratio > 0:
		have, want = r.ratio(r.peers[0]), g.ratio
	case g.difference > 0 && len(r.pairs) == 0:
		return g.text + ": no peer"
	case g.difference > 0 && r.higher:
		have, want = r.pairs[0].Difference, -g.difference
	case g.difference > 0:
		have, want = r.pairs[0].Difference, g.difference
	case g.value > 0:
		have, want = r.ours.value.Median, g.value
	default:
		return g.text
	}
	met := have <= want
	if r.higher {
		met = have >= want
	}
	noise := ""
	if r.noisy() {
		noise = ", noisy"
	}
	if met {
		return g.text + ": met" + noise
	}
	return "**" + g.text + ": missed" + noise + "**"
}

// noisy reports whether others used so much of the processors during a run that its figure may be far off.
func (r row) noisy() bool {
	worst := r.ours.others
	for _, p := range r.peers {
		worst = max(worst, p.others)
	}
	return worst > 0.1
}

// compared writes the ratio to a peer and what to make of it.
func (r row) compared(peer measurement) string {
	text := times(r.ratio(peer))
	if r.ahead(peer) {
		text += ", peer ahead"
	}
	if r.goal.text == "" && r.noisy() {
		text += ", noisy"
	}
	return text
}

// times writes a ratio so that a small one still has digits.
func times(ratio float64) string {
	if ratio < 0.1 {
		return fmt.Sprintf("%.4fx", ratio)
	}
	return fmt.Sprintf("%.2fx", ratio)
}
