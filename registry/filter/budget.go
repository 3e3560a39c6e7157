package filter

import "telco-churn-mlops/registry/fault"

// MaxCost is what a search may cost, in units of a [Budget]: about a second of one core. A page of a hundred thousand runs by a pattern costs a
// fiftieth of it.
const MaxCost = 1 << 29

// What is not counted by bytes, in units.
const (
	termCost  = 8
	fieldCost = 4
)

// Budget is the work that a search may do. A unit is one or two nanoseconds: what comparing one character with a pattern takes, or some sixteen bytes
// with a text. It is not safe for concurrent use.
type Budget struct{ left, all int64 }

// NewBudget returns a budget of so many units.
func NewBudget(units int64) *Budget { return &Budget{left: units, all: units} }

// Spent returns the units that were taken so far.
func (b *Budget) Spent() int64 { return b.all - b.left }

// Err returns a [*fault.Error] with code Invalid once more was taken than there was: what matched is not all that does then.
func (b *Budget) Err() error {
	if !b.Over() {
		return nil
	}
	return fault.New(fault.Invalid, "filter costs too much: its patterns were compared with %d million characters, and not all was seen; "+
		"ask for fewer or shorter patterns, or name fewer experiments", b.all>>20)
}

// TakeKey takes what ordering by a key costs.
func (b *Budget) TakeKey(k Key) {
	for _, v := range k {
		b.take(fieldCost + len(v.text)/4)
	}
}

func (b *Budget) take(units int) { b.left -= int64(units) }

// Over reports whether more was taken than there was.
func (b *Budget) Over() bool { return b.left < 0 }
