package inference_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
)

// BenchmarkOpenBundle is the part of an exchange that costs processor time: decode, and score the golden rows.
func BenchmarkOpenBundle(b *testing.B) {
	data := encoded(b, 1)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		bundle, err := model.Decode(data)
		require.NoError(b, err)
		require.NoError(b, bundle.Verify())
	}
}
