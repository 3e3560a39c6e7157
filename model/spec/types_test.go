package spec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

func TestTypesAndOptionalColumns(t *testing.T) {
	const text = `name: orders
columns:
  target: {name: late, positive: "1"}
  numeric: [{name: pieces, type: integer}, {name: express, type: boolean, optional: true}, {name: weight}]
  categorical: [{name: country, optional: true}, {name: kind}]
`
	s, err := spec.Parse([]byte(text))
	require.NoError(t, err)
	require.Equal(t, spec.NumberInteger, s.Columns.Numeric[0].Type)
	require.True(t, s.Columns.Numeric[1].Optional)
	require.True(t, s.Columns.Categorical[0].Optional)
	require.False(t, s.Columns.Categorical[1].Optional)
	canonical, err := s.Marshal()
	require.NoError(t, err)
	again, err := spec.Parse(canonical)
	require.NoError(t, err)
	require.Equal(t, s, again)
	require.Equal(t, 2, strings.Count(string(canonical), "type:"), "a column without a type is written as before there were types")
	require.Equal(t, 2, strings.Count(string(canonical), "optional:"))
	_, err = spec.Parse([]byte(strings.Replace(text, "integer", "whole", 1)))
	require.ErrorContains(t, err, `columns.numeric[0].type: want one of integer, boolean, got "whole"`)
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{"telco-churn_2": true, "": false, "a b": false, "ключ": false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false} {
		require.Equal(t, want, spec.ValidName(name), name)
	}
}
