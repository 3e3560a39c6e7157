package calibrate

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	score, label, weight := draw(r, 300)
	for _, method := range []Method{None, Sigmoid, Isotonic} {
		c, err := Fit(method, score, label, weight)
		require.NoError(t, err)
		raw, err := json.Marshal(c)
		require.NoError(t, err)
		var again Calibrator
		require.NoError(t, json.Unmarshal(raw, &again))
		require.Equal(t, c, again)
		twice, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, raw, twice)
	}
	raw, err := json.Marshal(struct{ C Calibrator }{})
	require.NoError(t, err)
	require.JSONEq(t, `{"C":{"method":"none"}}`, string(raw))

	for _, bad := range []string{
		`null`, `{}`, `[]`, `{"method":"beta"}`, `{"method":"none"}x`, `{"method":"none","slope":1}`, `{"method":"none","x":[0.5]}`,
		`{"method":"sigmoid"}`, `{"method":"sigmoid","slope":1}`, `{"method":"sigmoid","intercept":1}`,
		`{"method":"sigmoid","slope":-1,"intercept":0}`, `{"method":"sigmoid","slope":1,"intercept":1e999}`,
		`{"method":"sigmoid","slope":1,"intercept":0,"y":[0.5]}`, `{"method":"sigmoid","slope":1,"intercept":0,"colour":"red"}`,
		`{"method":"isotonic"}`, `{"method":"isotonic","x":[],"y":[]}`, `{"method":"isotonic","x":[0.1,0.2],"y":[0.1]}`,
		`{"method":"isotonic","x":[0.2,0.2],"y":[0.1,0.2]}`, `{"method":"isotonic","x":[0.1,0.2],"y":[0.2,0.1]}`,
		`{"method":"isotonic","x":[0.1,1.2],"y":[0.1,0.2]}`, `{"method":"isotonic","x":[0.1],"y":[-0.1]}`,
		`{"method":"isotonic","x":[0.1],"y":[0.1],"slope":1}`,
		`{"METHOD":"sigmoid","SLOPE":1,"intercept":0}`, `{"method":"isotonic","x":[0,1],"y":[0,1],"Y":[0.2,0.4]}`,
		`{"method":"sigmoid","slope":1,"slope":2,"intercept":0}`, `{"method":"none","method":"isotonic","x":[0,1],"y":[0,1]}`,
		`{"method":"none","slope":null}`, `{"method":null}`, `{"method":"isotonic","x":[null,1],"y":[0,1]}`, `{"method":"none","x":null}`,
		`{"method":"isotonic","x":["0.5"],"y":[0.1]}`, `{"method":"isotonic","x":[[0.5]],"y":[0.1]}`, `{"method":"isotonic","x":[1e999],"y":[0.1]}`,
		`{"method":"none"`, `{"method":"none",}`, `{"method"}`, `{"method":"none"} {}`, ``,
	} {
		c := Calibrator{method: Sigmoid, slope: 2}
		require.Error(t, c.UnmarshalJSON([]byte(bad)), bad)
		require.Equal(t, Calibrator{method: Sigmoid, slope: 2}, c, bad)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"method":"none"}`))
	f.Add([]byte(`{"method":"sigmoid","slope":1e308,"intercept":-1e308}`))
	f.Add([]byte(`{"method":"isotonic","x":[0,5e-324,0.5,1],"y":[0,0.1,0.1,1]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c Calibrator
		if json.Unmarshal(raw, &c) != nil {
			return
		}
		before := 0.0
		for p := -0.125; p <= 1.125; p += 1.0 / 64 {
			q := c.Apply(p)
			require.True(t, q >= before && q <= 1, "%v after %v at %v", q, before, p)
			before = q
		}
		encoded, err := json.Marshal(c)
		require.NoError(t, err)
		var again Calibrator
		require.NoError(t, json.Unmarshal(encoded, &again))
		require.Equal(t, c, again)
	})
}
