package inference_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
)

// telcoSize is a bundle as large as the one that the real file gives: 150 trees or more, 1,400 holdout rows.
func telcoSize(t testing.TB, seed uint64) []byte {
	t.Helper()
	return modeltest.Encoded(t, modeltest.Options{Rows: 7043, Trees: 200, Seed: seed, Relation: seed % 2})
}

// BenchmarkOpenBundle is the part of an exchange that costs processor time: decode, and score the golden rows.
func BenchmarkOpenBundle(b *testing.B) {
	data := telcoSize(b, 1)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		bundle, err := model.Decode(data)
		require.NoError(b, err)
		require.NoError(b, bundle.Verify())
	}
}
