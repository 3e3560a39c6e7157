package filter_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/filter"
)

func named(id string, start float64, metric ...float64) entity {
	e := entity{texts: map[string]string{"run_id": id}, numbers: map[string]float64{"start_time": start}}
	if len(metric) > 0 {
		e.numbers["metrics.m"] = metric[0]
	}
	return e
}

func order(t *testing.T, terms ...string) filter.Order {
	t.Helper()
	o, err := filter.ParseOrder(terms, filter.Runs)
	require.NoError(t, err)
	return o
}

func TestOrder(t *testing.T) {
	a, b, c, d, e := named("a", 1, 2), named("b", 2, 1), named("c", 3, math.NaN()), named("d", 4), named("e", 4)
	for _, tc := range []struct {
		terms []string
		want  string
	}{
		{nil, "decba"},
		{[]string{"metrics.m"}, "bacde"},
		{[]string{"metrics.m DESC"}, "abcde"},
		{[]string{"metrics.`m` asc", "run_id desc"}, "baced"},
		{[]string{"attributes.start_time ASC"}, "abcde"},
		{[]string{"created DESC", "run_id DESC"}, "edcba"},
		{[]string{"tags.none", "params.none DESC", "run_id"}, "abcde"},
		{[]string{"run_id DESC", "run_id ASC"}, "edcba"},
	} {
		t.Run(fmt.Sprint(tc.terms), func(t *testing.T) {
			o := order(t, tc.terms...)
			all := []entity{c, e, a, d, b}
			slices.SortFunc(all, func(x, y entity) int { return o.Compare(x, y) })
			var got string // d and e started together: the id decides
			for _, x := range all {
				got += x.texts["run_id"]
			}
			require.Equal(t, tc.want, got)
		})
	}
}

func TestParseOrderRefuses(t *testing.T) {
	for _, text := range []string{"", "metrics.m UP", "metrics.m DESC DESC", "metrics.m, run_id", "datasets.name", "nope", "'metrics.m'", "metrics.", "(run_id)", "metrics.`m"} {
		t.Run(text, func(t *testing.T) {
			_, err := filter.ParseOrder([]string{text}, filter.Runs)
			require.Error(t, err)
			require.Equal(t, fault.Invalid, fault.CodeOf(err))
		})
	}
	_, err := filter.ParseOrder(make([]string, 101), filter.Runs)
	require.ErrorContains(t, err, "101")
	_, err = filter.ParseOrder([]string{"timestamp DESC"}, filter.Models)
	require.NoError(t, err)
}

func TestTokens(t *testing.T) {
	o := order(t, "metrics.m", "params.p DESC", "tags.`a b`")
	q := filter.Query{Domain: filter.Runs, Filter: "metrics.m > 1", OrderBy: []string{"metrics.m", "params.p DESC", "tags.`a b`"}, Scope: []string{"ALL", "1"}}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 200 {
		e := named(fmt.Sprint("run", i), float64(r.IntN(10)))
		switch r.IntN(4) {
		case 0:
			e.numbers["metrics.m"] = r.NormFloat64()
		case 1:
			e.numbers["metrics.m"] = math.NaN()
		case 2:
			e.numbers["metrics.m"] = math.Inf(-1)
		}
		if r.IntN(2) == 0 {
			e.texts["params.p"] = "späť\x00"
		}
		key := o.Key(e, nil)
		got, err := filter.DecodeToken(q, o, filter.EncodeToken(q, key))
		require.NoError(t, err)
		require.Zero(t, o.CompareKeys(key, got))
	}
	first, err := filter.DecodeToken(q, o, "")
	require.NoError(t, err)
	require.Nil(t, first)

	token := filter.EncodeToken(q, o.Key(named("a", 1, 2), nil))
	for name, other := range map[string]filter.Query{
		"filter": {Domain: q.Domain, Filter: "metrics.m > 2", OrderBy: q.OrderBy, Scope: q.Scope},
		"order":  {Domain: q.Domain, Filter: q.Filter, OrderBy: q.OrderBy[:2], Scope: q.Scope},
		"scope":  {Domain: q.Domain, Filter: q.Filter, OrderBy: q.OrderBy, Scope: []string{"ALL", "2"}},
		"domain": {Domain: filter.LoggedModels, Filter: q.Filter, OrderBy: q.OrderBy, Scope: q.Scope},
		"shift":  {Domain: q.Domain, Filter: q.Filter, OrderBy: append(slices.Clone(q.OrderBy), "ALL"), Scope: []string{"1"}},
	} {
		_, err := filter.DecodeToken(other, o, token)
		require.Equal(t, fault.Invalid, fault.CodeOf(err), name)
	}
	for i := range token {
		changed := []byte(token)
		changed[i] ^= 1
		_, err := filter.DecodeToken(q, o, string(changed))
		require.Error(t, err, "byte %d", i)
	}
}

// FuzzParse looks for texts that the parser can't take, and for filters that it takes and that can't be matched.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"metrics.`a b` > 0.8 AND params.model = 'tree'", "attributes.status NOT IN ('a', \"b\")", "tags.\"x\" ILIKE '%_%'", "`run name` = ''''", "a.b.c", "\x80`", "metrics.m>=-.5e-3and"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for d := filter.Runs; d <= filter.LoggedModels; d++ {
			if parsed, err := filter.Parse(text, d); err == nil {
				parsed.Match(run)
			} else if fault.CodeOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			if o, err := filter.ParseOrder([]string{text}, d); err == nil && o.Compare(run, run) != 0 {
				t.Fatal("an entity differs from itself")
			}
		}
	})
}

// FuzzDecodeToken looks for tokens that are taken and are none: what is decoded must encode to the same again.
func FuzzDecodeToken(f *testing.F) {
	o, err := filter.ParseOrder([]string{"metrics.m", "params.p"}, filter.Runs)
	require.NoError(f, err)
	q := filter.Query{Domain: filter.Runs}
	f.Add(filter.EncodeToken(q, o.Key(run, nil)))
	f.Add(filter.EncodeToken(q, o.Key(named("a", 1, math.NaN()), nil)))
	f.Fuzz(func(t *testing.T, token string) {
		key, err := filter.DecodeToken(q, o, token)
		if err != nil || key == nil {
			return
		}
		again, err := filter.DecodeToken(q, o, filter.EncodeToken(q, key))
		if err != nil || o.CompareKeys(key, again) != 0 {
			t.Fatalf("%q decodes to %v, and that to %v: %v", token, key, again, err)
		}
	})
}

// FuzzLike compares the pattern's matching with the plain definition.
func FuzzLike(f *testing.F) {
	f.Add("a%b_c%", "axxbycz")
	f.Add("%%", "")
	f.Add("_ö%", "xöy")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 12 || len(text) > 24 {
			return
		}
		p, err := filter.Parse("tags.k LIKE '"+pattern+"'", filter.Runs)
		if err != nil {
			return
		}
		got := p.Match(entity{texts: map[string]string{"tags.k": text}})
		if want := like([]rune(unquote(pattern)), []rune(text)); got != want && text == string([]rune(text)) {
			t.Fatalf("%q LIKE %q is %v", text, pattern, got)
		}
	})
}

// unquote returns what the parser makes of a text between single quotes.
func unquote(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		out = append(out, s[i])
		if s[i] == '\'' {
			i++
		}
	}
	return string(out)
}

func like(p, s []rune) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '%':
		return like(p[1:], s) || len(s) > 0 && like(p, s[1:])
	}
	return len(s) > 0 && (p[0] == '_' || p[0] == s[0]) && like(p[1:], s[1:])
}
