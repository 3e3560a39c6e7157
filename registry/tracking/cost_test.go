package tracking

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/filter"
)

// page is something with a long tag to search.
type page string

func (p page) Text(filter.Kind, string) (string, bool) { return string(p), true }

func (p page) Number(filter.Kind, string) (float64, bool) { return 0, false }

// costly is a search that goes through each page many times, and the pages.
func costly(t *testing.T, units int64) (*top[page], []page) {
	t.Helper()
	one := "tags.t LIKE '%" + strings.Repeat("a_", 60) + "c%'"
	b := &Book{searchCost: units}
	s, err := b.newSearch(filter.Query{Domain: filter.Runs, Filter: one + strings.Repeat(" AND "+one, 59)}, 0, limits{100, 100}, "")
	require.NoError(t, err)
	pages := make([]page, 60)
	for i := range pages {
		pages[i] = page(fmt.Sprint(i, strings.Repeat("a", 7000), "c"))
	}
	return newTop[page](s), pages
}

func TestASearchGivesTheLockBackByTheWorkItDid(t *testing.T) {
	t.Parallel()
	found, pages := costly(t, filter.MaxCost)
	var mu sync.RWMutex
	looked, waits, writes := 0, make(chan struct{}), 0
	require.NoError(t, found.scan(t.Context(), &mu, pages, func(p page) {
		found.offer(p, p)
		looked++
		if looked == 1 {
			go func() {
				mu.Lock()
				defer mu.Unlock()
				writes = looked
				close(waits)
			}()
		}
		for looked == 1 && mu.TryRLock() { // until the writer waits for this turn's end
			mu.RUnlock()
		}
	}))
	<-waits
	require.Equal(t, len(pages), looked)
	require.Len(t, found.kept, len(pages))
	require.Less(t, writes, 5, "a page costs more than a turn's work")
}

func TestASearchThatCostsTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	found, pages := costly(t, 10<<20)
	looked := 0
	err := found.scan(t.Context(), new(sync.RWMutex), pages, func(p page) { found.offer(p, p); looked++ })
	require.ErrorContains(t, err, "filter costs too much")
	require.Equal(t, fault.Invalid, fault.CodeOf(err))
	require.Less(t, looked, 20)
}

func TestASearchEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	found, pages := costly(t, filter.MaxCost)
	ctx, cancel := context.WithCancel(t.Context())
	looked := 0
	err := found.scan(ctx, new(sync.RWMutex), pages, func(p page) { found.offer(p, p); looked++; cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, looked, 5)
}
