package events_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// Every float64 comes back as the same bits, save the payload of a NaN.
func TestNumberRoundTrips(t *testing.T) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -0.1, 5e-324, math.MaxFloat64, -math.MaxFloat64, 1 << 53, math.NaN(), math.Inf(1), math.Inf(-1)} {
		data, err := json.Marshal(events.Number(v))
		require.NoError(t, err)
		var back events.Number
		require.NoError(t, json.Unmarshal(data, &back), "%s", data)
		if math.IsNaN(v) {
			require.Equal(t, `"NaN"`, string(data))
			require.True(t, math.IsNaN(float64(back)))
			continue
		}
		require.Equal(t, math.Float64bits(v), math.Float64bits(float64(back)), "%s", data)
	}
}

func TestNumberReads(t *testing.T) {
	for _, tt := range []struct {
		data string
		want float64
	}{
		{`1e3`, 1000}, {` -0.5 `, -0.5}, {`"Infinity"`, math.Inf(1)}, {`"-Infinity"`, math.Inf(-1)}, {`"\u0049nfinity"`, math.Inf(1)},
	} {
		var n events.Number
		require.NoError(t, json.Unmarshal([]byte(tt.data), &n), tt.data)
		require.Equal(t, tt.want, float64(n), tt.data)
	}
	for _, data := range []string{`null`, `"1"`, `"inf"`, `"nan"`, `""`, `true`, `[]`, `{}`, `1e999`, `NaN`} {
		var n events.Number
		require.Error(t, json.Unmarshal([]byte(data), &n), data)
	}
}
