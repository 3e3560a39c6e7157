package filter_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/filter"
)

func TestPatternsMeanWhatTheySay(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(alphabet []string, n int) string {
		var s strings.Builder
		for range n {
			s.WriteString(alphabet[r.IntN(len(alphabet))])
		}
		return s.String()
	}
	expr := strings.NewReplacer("%", ".*", "_", ".")
	matched := 0
	for range 4000 {
		pattern := draw([]string{"a", "b", "ö", "_", "_", "%"}, r.IntN(8))
		if r.IntN(4) == 0 { // pieces of more than one word
			pattern = "%" + draw([]string{"a", "_", "_", "_", "ö"}, 60+r.IntN(150)) + "%" + pattern
		}
		text := draw([]string{"a", "a", "b", "ö", "\n"}, r.IntN(400)/(1+r.IntN(60)))
		f, err := filter.Parse("tags.t LIKE '"+pattern+"'", filter.Runs)
		require.NoError(t, err)
		want := regexp.MustCompile(`(?s)^` + expr.Replace(pattern) + `$`).MatchString(text)
		require.Equal(t, want, f.Match(entity{texts: map[string]string{"tags.t": text}}), "%q LIKE %q", text, pattern)
		if want {
			matched++
		}
	}
	require.Greater(t, matched, 200)
}

// hostile is a filter of patterns that no text of letters a matches, though each of its places begins well, and such a text.
func hostile(terms int) (string, entity) {
	one := "tags.t LIKE '%" + strings.Repeat("a_", 124) + "b%'"
	return one + strings.Repeat(" AND "+one, terms-1), entity{texts: map[string]string{"tags.t": strings.Repeat("a", 7740) + "b"}}
}

func TestHostilePatternsCostByTheLengthOfTheText(t *testing.T) {
	t.Parallel()
	text, e := hostile(60)
	f, err := filter.Parse(text, filter.Runs)
	require.NoError(t, err)
	b := filter.NewBudget(1 << 30)
	require.True(t, f.MatchWithin(e, b))
	require.NoError(t, b.Err())
	require.Greater(t, b.Spent(), int64(60*7740))
	require.Less(t, b.Spent(), int64(60*7740*8))
}

func TestASpentBudgetIsTold(t *testing.T) {
	t.Parallel()
	text, e := hostile(2)
	f, err := filter.Parse(text, filter.Runs)
	require.NoError(t, err)
	b := filter.NewBudget(50_000)
	require.False(t, f.MatchWithin(e, b), "though it would match")
	require.ErrorContains(t, b.Err(), "filter costs too much")
	require.Equal(t, fault.Invalid, fault.CodeOf(b.Err()))
	none, err := filter.Parse("", filter.Runs)
	require.NoError(t, err)
	require.False(t, none.MatchWithin(e, b), "nothing matches any more")
}

func TestAFilterHasSoManyComparisons(t *testing.T) {
	t.Parallel()
	terms := func(n int) string { return "tags.a = 'x'" + strings.Repeat(" AND tags.a = 'x'", n-1) }
	_, err := filter.Parse(terms(100), filter.Runs)
	require.NoError(t, err)
	_, err = filter.Parse(terms(101), filter.Runs)
	require.ErrorContains(t, err, "at most 100 comparisons")
	require.Equal(t, fault.Invalid, fault.CodeOf(err))
}

func BenchmarkLike(b *testing.B) {
	text, e := hostile(1)
	for _, f := range []string{text, "tags.t LIKE '%ab%'", "tags.t ILIKE 'b%'"} {
		parsed, err := filter.Parse(f, filter.Runs)
		require.NoError(b, err)
		b.Run(fmt.Sprint(len(f)), func(b *testing.B) {
			budget := filter.NewBudget(1 << 62)
			for b.Loop() {
				parsed.MatchWithin(e, budget)
			}
			b.ReportMetric(float64(budget.Spent())/float64(b.N), "units/op")
		})
	}
}
