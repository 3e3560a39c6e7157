package compare

// rankBins is the number of bins that scores are ranked in.
const rankBins = 1 << 16

// Ranks counts labelled scores in 65,536 equal bins of [0, 1], for the area under the ROC curve of any number of them in 1 MiB. Make one with
// NewRanks. It is not safe for concurrent use.
type Ranks struct{ positive, negative []uint64 }

// NewRanks returns empty ranks.
func NewRanks() *Ranks {
	return &Ranks{positive: make([]uint64, rankBins), negative: make([]uint64, rankBins)}
}

// Add counts a score in [0, 1] and its outcome; a score outside counts as the nearest.
func (r *Ranks) Add(score float64, observed bool) {
	bin := 0
	if score > 0 {
		bin = int(min(score*rankBins, rankBins-1))
	}
	if observed {
		r.positive[bin]++
	} else {
		r.negative[bin]++
	}
}

// AUC returns the share of pairs of a positive and a negative in which the positive has the higher score, a pair within one bin counting as a half; so it
// differs from the exact one by at most half the share of pairs that are closer than 1/65,536. It returns false without a positive or a negative.
func (r *Ranks) AUC() (float64, bool) {
	var below, positives, pairs float64
	for i, n := range r.negative {
		p := float64(r.positive[i])
		pairs += p * (below + float64(n)/2)
		below += float64(n)
		positives += p
	}
	if positives == 0 || below == 0 {
		return 0, false
	}
	return pairs / (positives * below), true
}
