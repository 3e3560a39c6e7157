package tracking

import (
	"container/heap"
	"context"
	"slices"
	"sync"

	"telco-churn-mlops/registry/filter"
)

// limits are the default size of a page and the largest.
type limits struct{ usual, most int }

// search is a parsed query.
type search struct {
	query filter.Query
	where filter.Filter
	order filter.Order
	after filter.Key // nil for the first page
	size  int
	// budget is what is left of the work that the search may do.
	budget *filter.Budget
}

// newSearch reads a query. Every error is the client's.
func (b *Book) newSearch(q filter.Query, size int, l limits, token string) (*search, error) {
	s := &search{query: q, size: size, budget: filter.NewBudget(b.searchCost)}
	switch {
	case size == 0:
		s.size = l.usual
	case size < 0 || size > l.most:
		return nil, invalid("max_results is %d, must be between 1 and %d", size, l.most)
	}
	var err error
	if s.where, err = filter.Parse(q.Filter, q.Domain); err != nil {
		return nil, err
	}
	if s.order, err = filter.ParseOrder(q.OrderBy, q.Domain); err != nil {
		return nil, err
	}
	s.after, err = filter.DecodeToken(q, s.order, token)
	return s, err
}

// shows returns whether a view shows what is deleted, and what is not.
func (v ViewType) shows() (func(deleted bool) bool, error) {
	switch v {
	case "", ActiveOnly:
		return func(deleted bool) bool { return !deleted }, nil
	case DeletedOnly:
		return func(deleted bool) bool { return deleted }, nil
	case All:
		return func(bool) bool { return true }, nil
	}
	return nil, invalid("view type %s: there is ACTIVE_ONLY, DELETED_ONLY and ALL", quote(string(v)))
}

// top keeps the first of what is offered, one more than the page holds, so that it is known whether there is another page. It is a heap whose
// root is the last of them: most of a large table is dismissed by one comparison.
type top[T any] struct {
	*search
	kept    []kept[T]
	scratch filter.Key
}

type kept[T any] struct {
	item T
	key  filter.Key
}

func newTop[T any](s *search) *top[T] { return &top[T]{search: s} }

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (t *top[T]) Len() int           { return len(t.kept) }
func (t *top[T]) Less(i, j int) bool { return t.order.CompareKeys(t.kept[i].key, t.kept[j].key) > 0 }
func (t *top[T]) Swap(i, j int)      { t.kept[i], t.kept[j] = t.kept[j], t.kept[i] }

// Push implements heap.Interface.
func (t *top[T]) Push(x any) { t.kept = append(t.kept, x.(kept[T])) }

// Pop implements heap.Interface.
func (t *top[T]) Pop() any {
	last := t.kept[len(t.kept)-1]
	t.kept = t.kept[:len(t.kept)-1]
	return last
}

// offer takes an item if it matches, comes after the last page and before what is kept.
func (t *top[T]) offer(item T, fields filter.Fields) {
	if !t.where.MatchWithin(fields, t.budget) {
		return
	}
	t.scratch = t.order.Key(fields, t.scratch)
	t.budget.TakeKey(t.scratch)
	if t.after != nil && t.order.CompareKeys(t.scratch, t.after) <= 0 {
		return
	}
	if len(t.kept) <= t.size {
		heap.Push(t, kept[T]{item, slices.Clone(t.scratch)})
		return
	}
	if root := &t.kept[0]; t.order.CompareKeys(t.scratch, root.key) < 0 {
		root.item, root.key = item, append(root.key[:0], t.scratch...)
		heap.Fix(t, 0)
	}
}

// A search gives the lock back after so many items or so much work, a millisecond or two of it, whichever comes first: writers go on, and it is seen
// whether anybody still waits for the answer.
const (
	turnItems = 128
	turnCost  = 1 << 20
)

// scan has offer look at every item, in turns under the read lock. An item that changes meanwhile counts as it was when the search came by.
func (t *top[T]) scan(ctx context.Context, mu *sync.RWMutex, items []T, offer func(T)) error {
	for len(items) > 0 {
		if ctx.Err() != nil {
			return wrap("search", context.Cause(ctx))
		}
		items = items[t.turn(mu, items, offer):]
		if err := t.budget.Err(); err != nil {
			return err
		}
	}
	return nil
}

// turn looks at the first items, and returns how many those were.
func (t *top[T]) turn(mu *sync.RWMutex, items []T, offer func(T)) int {
	mu.RLock()
	defer mu.RUnlock()
	until := t.budget.Spent() + turnCost
	for i, item := range items {
		if i == turnItems || t.budget.Spent() > until || t.budget.Over() {
			return i
		}
		offer(item)
	}
	return len(items)
}

// pageOf returns the page, of which only the items on it are shown.
func pageOf[T, S any](t *top[T], show func(T) S) Page[S] {
	slices.SortFunc(t.kept, func(a, b kept[T]) int { return t.order.CompareKeys(a.key, b.key) })
	var p Page[S]
	for i, k := range t.kept {
		if i == t.size {
			p.Next = filter.EncodeToken(t.query, t.kept[i-1].key)
			break
		}
		p.Items = append(p.Items, show(k.item))
	}
	return p
}
