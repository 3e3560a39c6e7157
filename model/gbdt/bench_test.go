package gbdt_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// BenchmarkTrain fits 100 trees of depth 3 to 7,000 rows of 45 columns, the size of the Telco data.
func BenchmarkTrain(b *testing.B) {
	m, names := generate(1, 7000, 45)
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := gbdt.Train(context.Background(), gbdt.DefaultParams(), names, m, nil, nil)
		require.NoError(b, err)
	}
}

// BenchmarkTrainTelco fits 150 trees of depth 3 to as many rows as the Telco data has, of columns like its.
func BenchmarkTrainTelco(b *testing.B) {
	m, names := telcoLike(1, 7043)
	p := gbdt.DefaultParams()
	p.Trees = 150
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := gbdt.Train(context.Background(), p, names, m, nil, nil)
		require.NoError(b, err)
	}
}

// BenchmarkTrainMillion fits 100 trees of 31 leaves to 1,000,000 rows of 19 columns of whole numbers like Telco's.
func BenchmarkTrainMillion(b *testing.B) {
	m, names := telcoLike(1, 1_000_000)
	p := gbdt.DefaultParams()
	p.MaxDepth, p.MaxLeaves = 0, 31
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := gbdt.Train(context.Background(), p, names, m, nil, nil)
		require.NoError(b, err)
	}
}

func BenchmarkMargin(b *testing.B) {
	m, names := generate(1, 7000, 45)
	e := train(b, gbdt.DefaultParams(), names, m)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e.Margin(m.Row(i))
		if i++; i == m.Rows {
			i = 0
		}
	}
}

func BenchmarkParseText(b *testing.B) {
	m, names := generate(1, 7000, 45)
	model := text(b, train(b, gbdt.DefaultParams(), names, m))
	b.SetBytes(int64(len(model)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := gbdt.ParseText(bytes.NewReader(model))
		require.NoError(b, err)
	}
}
