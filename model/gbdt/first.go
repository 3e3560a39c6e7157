package gbdt

import (
	"errors"
	"fmt"
)

// ErrEnough, returned by onTree or wrapped by what it returns, ends training without an error: the ensemble is then of the trees grown so far,
// cut to the best of them if early stopping is on.
var ErrEnough = errors.New("enough trees")

// First returns the ensemble of the first n trees, as training would have made it had it ended there. It shares them with e. n below
// 1 or above Trees is a fault of the caller's code and panics.
func (e *Ensemble) First(n int) *Ensemble {
	if n < 1 || n > len(e.trees) {
		panic(fmt.Sprintf("gbdt: the first %d of %d trees", n, len(e.trees)))
	}
	first := newEnsemble(e.names, e.infos, e.parameters, e.trees[:n:n])
	first.objective = e.objective
	return first
}
