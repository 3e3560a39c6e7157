package gbdt

// ImportanceKind says what the importance of a feature counts.
type ImportanceKind string

const (
	// GainImportance is the total gain of the splits on a feature, in units of the loss's second-order model.
	GainImportance ImportanceKind = "gain"
	// SplitImportance is the number of splits on a feature.
	SplitImportance ImportanceKind = "split"
)

// Importance returns the total gain of the splits on each feature, in the order of FeatureNames.
func (e *Ensemble) Importance() []float64 { return e.ImportanceBy(GainImportance) }

// ImportanceBy returns the importance of each feature, in the order of FeatureNames; one that no tree splits on has 0. A file may
// come without gains, and then all gains are 0. A kind that is not one of the constants counts as SplitImportance.
func (e *Ensemble) ImportanceBy(kind ImportanceKind) []float64 {
	total := make([]float64, len(e.names))
	for i := range e.trees {
		t := &e.trees[i]
		for node, f := range t.feature {
			if kind == GainImportance {
				total[f] += t.gain[node]
			} else {
				total[f]++
			}
		}
	}
	return total
}
