package gbdt

// flatTrees is trees as training scores rows with them.
type flatTrees struct {
	trees  []tree
	scorer *scorer
}

func (f *flatTrees) add(t *tree) {
	f.trees = append(f.trees, *t)
	f.scorer = newScorer(f.trees)
}

// margin sums the leaf values of a row.
func (f *flatTrees) margin(x []float64) float64 {
	return f.scorer.margin(f.trees, x)
}
