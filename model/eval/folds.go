package eval

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Folds assigns each row to one of k folds, 0 to k-1, stratified: each class is shuffled by the seed and dealt out in turn, the
// second class going on where the first stopped. So folds differ by one row at most, in each class and in all. The same labels, k and
// seed give the same folds.
//
// Rows of one entity may fall apart: use GroupFolds where an entity has several rows. k below 2, a label other than 0 and 1, and a
// class with fewer rows than folds are errors.
func Folds(label []float64, k int, seed uint64) ([]int, error) {
	rows, err := byClass(label, k)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(seed, 0x666f6c6473)) // "folds"
	fold := make([]int, len(label))
	next := 0
	for _, class := range rows {
		r.Shuffle(len(class), func(i, j int) { class[i], class[j] = class[j], class[i] })
		for _, i := range class {
			fold[i] = next
			next = (next + 1) % k
		}
	}
	return fold, nil
}

// byClass returns the rows of either class in row order.
func byClass(label []float64, k int) (rows [2][]int, err error) {
	if k < 2 {
		return rows, fmt.Errorf("%d folds, want 2 at least", k)
	}
	for i, y := range label {
		if y != 0 && y != 1 {
			return rows, fmt.Errorf("row %d: label %v is neither 0 nor 1", i, y)
		}
		rows[int(y)] = append(rows[int(y)], i)
	}
	for y, class := range rows {
		if len(class) < k {
			return rows, fmt.Errorf("%d rows of class %d for %d folds", len(class), y, k)
		}
	}
	return rows, nil
}

// GroupFolds assigns each row to one of k folds, 0 to k-1, such that all rows of one id are in one fold, and classes and sizes are nearly even:
// the ids, those with a positive row and those without apart, are put in the order of a hash of id and seed and dealt out in turn.
// The order of rows is nothing; but one id more or less moves others, which HashFold avoids.
//
// With one row per id the folds are stratified as those of Folds. k below 2, a label other than 0 and 1, lists of different lengths,
// and fewer ids of either kind than folds are errors.
func GroupFolds(id []string, label []float64, k int, seed uint64) ([]int, error) {
	if len(id) != len(label) {
		return nil, fmt.Errorf("%d ids but %d labels", len(id), len(label))
	}
	positive := make(map[string]float64, len(id))
	for i, y := range label {
		if y != 0 && y != 1 {
			return nil, fmt.Errorf("row %d: label %v is neither 0 nor 1", i, y)
		}
		positive[id[i]] = max(positive[id[i]], y)
	}
	type group struct {
		id   string
		hash uint64
	}
	var groups [2][]group
	for g, y := range positive {
		groups[int(y)] = append(groups[int(y)], group{g, hash(g, seed)})
	}
	if k < 2 {
		return nil, fmt.Errorf("%d folds, want 2 at least", k)
	}
	of := make(map[string]int, len(positive))
	next := 0
	for y, class := range groups {
		if len(class) < k {
			return nil, fmt.Errorf("%d ids of class %d for %d folds", len(class), y, k)
		}
		slices.SortFunc(class, func(a, b group) int {
			if c := cmp.Compare(a.hash, b.hash); c != 0 {
				return c
			}
			return cmp.Compare(a.id, b.id)
		})
		for _, g := range class {
			of[g.id] = next
			next = (next + 1) % k
		}
	}
	fold := make([]int, len(id))
	for i, g := range id {
		fold[i] = of[g]
	}
	return fold, nil
}

// HashFold returns the fold, 0 to k-1, of an entity by a hash of its id and the seed alone: the same in every dataset, whatever other rows there
// are. Sizes and classes of the folds vary as by chance. k must be 1 at least.
func HashFold(id string, k int, seed uint64) int {
	return min(int(float64(hash(id, seed)>>11)/(1<<53)*float64(k)), k-1)
}

// hash is FNV-1a of the id, started from the seed and mixed by the finaliser of SplitMix64, which FNV's low bits need. The seed is mixed
// first, so that neighbouring seeds give unrelated hashes.
func hash(id string, seed uint64) uint64 {
	h := 14695981039346656037 ^ mix(seed)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return mix(h)
}

func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Split returns the rows outside and inside one fold, both in row order.
func Split(fold []int, test int) (train, tested []int) {
	for i, f := range fold {
		if f == test {
			tested = append(tested, i)
		} else {
			train = append(train, i)
		}
	}
	return train, tested
}
