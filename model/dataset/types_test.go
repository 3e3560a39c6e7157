package dataset

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// orders is a spec with numbers of each type and columns that may be absent.
const orders = `name: orders
columns:
  target: {name: late, positive: "1"}
  missing: [NaN]
  numeric:
    - {name: pieces, type: integer, min: 1}
    - {name: express, type: boolean}
    - {name: weight, optional: true}
  categorical:
    - {name: country, values: [DE, FR]}
    - {name: note, optional: true}
`

func TestTypesOfNumbers(t *testing.T) {
	h := schemaOf(t, orders)
	row := h.NewRow()
	for _, test := range []struct {
		name, pieces, express string
		want                  [2]float64
		faults                []string
	}{
		{"plain", "3", "true", [2]float64{3, 1}, nil},
		{"text", `"3"`, `"False"`, [2]float64{3, 0}, nil},
		{"whole as a fraction", "3.0", "1.0", [2]float64{3, 1}, nil},
		{"exponent", "3e2", "0", [2]float64{300, 0}, nil},
		{"missing", "null", `"NaN"`, [2]float64{math.NaN(), math.NaN()}, nil},
		{"fraction", "3.5", "0.5", [2]float64{}, []string{"type/pieces", "type/express"}},
		{"words", `"three"`, `"yes"`, [2]float64{}, []string{"type/pieces", "type/express"}},
		{"boolean for a number", "true", "2", [2]float64{}, []string{"type/pieces", "type/express"}},
		{"not finite", "NaN", `"inf"`, [2]float64{}, []string{"not_finite/pieces", "not_finite/express"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			warnings, err := h.DecodeJSON([]byte(`{"pieces": `+test.pieces+`, "express": `+test.express+`, "country": "DE"}`), row, DecodeOptions{})
			require.Empty(t, warnings)
			if test.faults != nil {
				require.Equal(t, test.faults, rules(faultsOf(t, err)))
				return
			}
			require.NoError(t, err)
			for i, want := range test.want {
				require.Equal(t, math.Float64bits(want), math.Float64bits(row.Num[i]))
			}
			again := h.NewRow()
			_, err = h.DecodeJSON(h.AppendJSON(nil, row, true), again, DecodeOptions{})
			require.NoError(t, err)
			require.Equal(t, math.Float64bits(row.Num[1]), math.Float64bits(again.Num[1]))
		})
	}
	_, err := h.DecodeJSON([]byte(`{"pieces": 1.5, "express": 3, "country": "DE"}`), row, DecodeOptions{})
	require.ErrorContains(t, err, `column pieces: want a whole number, got "1.5"`)
	require.ErrorContains(t, err, `column express: want true or false, got "3"`)
	warnings, err := h.DecodeJSON([]byte(`{"pieces": 0, "express": 0, "country": "IT"}`), row, DecodeOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"range/pieces", "set/country"}, rules(warnings), "bounds and sets are as for any column")
}

func TestOptionalColumnsMayBeAbsent(t *testing.T) {
	h := schemaOf(t, orders)
	row := h.NewRow()
	row.Num[2], row.Cat[1] = 5, "left over"
	_, err := h.DecodeJSON([]byte(`{"pieces": 1, "express": true, "country": "DE"}`), row, DecodeOptions{})
	require.NoError(t, err)
	require.True(t, math.IsNaN(row.Num[2]))
	require.Empty(t, row.Cat[1])
	_, err = h.DecodeJSON([]byte(`{"weight": 2}`), row, DecodeOptions{})
	require.Equal(t, []string{"missing_column/pieces", "missing_column/express", "missing_column/country"}, rules(faultsOf(t, err)))

	read := func(csv string) (*Table, error) {
		r, err := NewReader(strings.NewReader(csv), h, ReaderOptions{Format: "csv", Delimiter: ',', RequireLabel: true})
		if err != nil {
			return nil, err
		}
		out := NewTable(h)
		row := h.NewRow()
		for err = r.Next(row); err == nil; err = r.Next(row) {
			out.Append(row)
		}
		return out, nil
	}
	table, err := read("late,country,express,pieces\n1,DE,True,3\n0,FR,0,4\n")
	require.NoError(t, err)
	require.Equal(t, 2, table.Len())
	require.Equal(t, []float64{1, 0}, table.Numeric(1))
	require.True(t, math.IsNaN(table.Numeric(2)[1]))
	table, err = read("late,country,express,pieces,weight\n1,DE,True,3,1.5\n")
	require.NoError(t, err)
	require.Equal(t, []float64{1.5}, table.Numeric(2))
	_, err = read("late,country,pieces,weight\n1,DE,3,1.5\n")
	require.ErrorContains(t, err, "column express: the column is missing")
}
