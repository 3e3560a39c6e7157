package gbdt

import "fmt"

// First returns the ensemble of the first n trees, as training would have made it had it ended there. It shares them with e. n below
// 1 or above Trees is a fault of the caller's code and panics.
func (e *Ensemble) First(n int) *Ensemble {
	if n < 1 || n > len(e.trees) {
		panic(fmt.Sprintf("gbdt: the first %d of %d trees", n, len(e.trees)))
	}
	return newEnsemble(e.names, e.infos, e.parameters, e.trees[:n:n])
}
