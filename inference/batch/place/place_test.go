package place_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/batch/place"
)

// A scorer without a data folder takes no path, and says who has to change what.
func TestPathsNeedAFolder(t *testing.T) {
	var p place.Places
	_, err := p.Input(context.Background(), "customers.csv")
	require.ErrorIs(t, err, place.ErrRefused)
	require.ErrorContains(t, err, "customers.csv: this scorer has no data folder (its --data-root)")
	_, err = p.Output(context.Background(), "scores.csv", "job", true)
	require.ErrorIs(t, err, place.ErrRefused)
	require.ErrorContains(t, err, "(its --data-root)")
}
