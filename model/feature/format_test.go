package feature_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/spec"
)

func TestParseRefusesEncodings(t *testing.T) {
	fitted := func(encoding string) (string, *spec.Spec, *dataset.Schema) {
		s, sch := smallSpec(t, func(s *spec.Spec) { s.Features.Encoding = encoding })
		p, err := feature.Fit(s, sch, labelled(sch, "xxyy", "0111"), nil, nil)
		require.NoError(t, err)
		good, err := json.Marshal(p)
		require.NoError(t, err)
		_, err = feature.Parse(good, s, sch)
		require.NoError(t, err)
		return string(good), s, sch
	}
	target, ts, tsch := fitted(spec.EncodingTarget)
	native, ns, nsch := fitted(spec.EncodingNative)
	for _, tc := range []struct{ name, in, old, new, want string }{
		{"format", target, `"format":2`, `"format":1`, "format 1, want 2"},
		{"encoding of all", target, `"encoding":"target","target"`, `"encoding":"onehot","target"`, "encoding"},
		{"encoding of a column", target, `"column":"c","encoding":"target"`, `"column":"c","encoding":"native"`, `the spec has "target"`},
		{"no encoding of a column", target, `"column":"c","encoding":"target"`, `"column":"c"`, `the spec has "target"`},
		{"smoothing", target, `"smoothing":10`, `"smoothing":9`, "smoothing 10"},
		{"no smoothing", target, `"target":{"smoothing":10,"folds":5},`, ``, "target belongs"},
		{"too few values", target, `"values":[0.`, `"values":[0.5,0.`, "3 values for 2 levels"},
		{"no missing value", target, `"missing_value":0.75,`, ``, "where they are needed"},
		{"value beyond 1", target, `"unseen_value":0.75`, `"unseen_value":1.5`, "1.5 is no share"},
		{"values of native", native, `"unseen_code"`, `"values":[1,2],"unseen_code"`, "belong to target encoding"},
		{"native code", native, `"missing_code":0`, `"missing_code":2`, "neither -1 nor a level's"},
		{"native unseen code", native, `"unseen_code":0`, `"unseen_code":-1`, "neither 2 nor a level's"},
		{"no native code", native, `"missing_code":0,`, ``, "both are needed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := strings.Replace(tc.in, tc.old, tc.new, 1)
			require.NotEqual(t, tc.in, bad, "nothing replaced in %s", tc.in)
			s, sch := ts, tsch
			if tc.in == native {
				s, sch = ns, nsch
			}
			_, err := feature.Parse([]byte(bad), s, sch)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// Fields count as they are spelled, once: what another reader of the file sees must not differ from what is served.
func TestParseRefusesOtherSpellingsAndDoubledFields(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) {
		s.Features.Derived = []spec.Derived{{Name: "n", Op: spec.OpCountEqual, Of: []string{"c"}, Equals: []string{"x"}}}
	})
	p, err := feature.Fit(s, sch, labelled(sch, "xxyy", "0111"), nil, nil)
	require.NoError(t, err)
	good, err := json.Marshal(p)
	require.NoError(t, err)
	for _, tc := range []struct{ old, new, want string }{
		{`"format"`, `"Format"`, `unknown field "Format"`},
		{`"median":`, `"MEDIAN":`, `unknown field "MEDIAN"`},
		{`"scale":`, `"\u017fcale":`, "unknown field"}, // a long s, which folds to s
		{`"op"`, `"oP"`, `unknown field "oP"`},
		{`"format"`, `"format":9,"format"`, `"format" is there twice`},
		{`"mean"`, `"mean":7,"mean"`, `"mean" is there twice`},
		{`"levels"`, `"levels":["a"],"levels"`, `"levels" is there twice`},
		{`"equals"`, `"equals":[],"equals"`, `"equals" is there twice`},
		{`"features"`, `"features":[],"features"`, `"features" is there twice`},
	} {
		bad := strings.Replace(string(good), tc.old, tc.new, 1)
		require.NotEqual(t, string(good), bad, tc.old)
		_, err := feature.Parse([]byte(bad), s, sch)
		require.ErrorContains(t, err, tc.want, bad)
	}
}

// A file of the first format, written before there were other encodings, is read as before, and pipelines that it can express are
// still written so.
func TestParseReadsTheFirstFormat(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) {
		s.Features.Derived = []spec.Derived{{Name: "n", Op: spec.OpCountEqual, Of: []string{"c"}, Equals: []string{"x"}}}
	})
	const old = `{"format":1,"fitted_rows":3,"impute":"median","scale":"standard","encoding":"ordinal",` +
		`"numeric":[{"column":"a","observed":3,"median":2,"mean":3,"scale":1.5},{"column":"b","observed":0,"median":0,"mean":0,"scale":1}],` +
		`"categorical":[{"column":"c","levels":["x","y"],"folded_levels":0,"missing_code":0,"unseen_code":3}],` +
		`"derived":[{"name":"n","op":"count_equal","of":["c"],"equals":["x"],"observed":2,"median":0.5,"mean":0.5,"scale":0.5}],` +
		`"features":["a","b","c","n"]}`
	p, err := feature.Parse([]byte(old), s, sch)
	require.NoError(t, err)
	require.Equal(t, []float64{2, 0, 2, 1}, transform(p, sch, record{6, 0, "x"}))
	require.Equal(t, []float64{-1. / 1.5, 0, 0, 0}, transform(p, sch, record{nan, nan, ""}))
	require.Equal(t, []float64{0, 5, 3, -1}, transform(p, sch, record{3, 5, "new"}))
	again, err := json.Marshal(p)
	require.NoError(t, err)
	require.Equal(t, old, string(again))
}

// Words that no single byte tells apart are found as well as others.
func TestWordsOfAllShapes(t *testing.T) {
	sets := map[string][]string{
		"lengths": {"a", "bb", "ccc"}, "first": {"ax", "bx", "cx"}, "last": {"xa", "xb", "xc"},
		"hash": {"ab", "bb", "aa", "ba", "bba", "ccc"}, "many": nil, "one": {"x"}, "none": {},
	}
	for i := range 1000 {
		sets["many"] = append(sets["many"], fmt.Sprint("w", i))
	}
	for name, words := range sets {
		s, sch := smallSpec(t, func(s *spec.Spec) { s.Columns.Categorical[0].MaxLevels = 2000 })
		records := []record{{c: ""}}
		for _, w := range words {
			records = append(records, record{c: w})
		}
		p, err := feature.Fit(s, sch, table(sch, records...), nil, nil)
		require.NoError(t, err)
		levels, _ := p.Vocabulary("c")
		require.Len(t, levels, len(words))
		for i, w := range levels {
			require.Equal(t, float64(2+i), transform(p, sch, record{c: w})[2], name)
			require.Empty(t, p.Unseen(fill(sch.NewRow(), record{c: w})))
			for _, other := range []string{w + "x", "x" + w, strings.ToUpper(w), w + strings.Repeat("a", 256)} {
				if known := func() bool { _, ok := find(levels, other); return ok }(); !known {
					require.Equal(t, []string{"c"}, p.Unseen(fill(sch.NewRow(), record{c: other})), "%s: %s", name, other)
				}
			}
		}
	}
}

func find(words []string, w string) (int, bool) {
	for i, have := range words {
		if have == w {
			return i, true
		}
	}
	return 0, false
}
