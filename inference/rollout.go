package inference

// split is a canary as the stream says it: which share of the entities a candidate answers beside which Production.
type split struct {
	revision   int
	version    int // the candidate
	digest     string
	runID      string
	share      float64
	production uint64 // sequence of the promotion beside which it stands
}

// promotion is what the candidate's answers are attributed to: its own version, and the promotion that it stands beside.
func (s *split) promotion() Promotion {
	return Promotion{Version: s.version, Digest: s.digest, RunID: s.runID, Sequence: s.production}
}
