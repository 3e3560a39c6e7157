package tracking

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
)

func TestReadsAsFoldedNeedNoServer(t *testing.T) {
	srv := bustest.Start(t)
	b, err := New(Config{Bus: srv.Connect(t), Source: "test"})
	require.NoError(t, err)
	srv.Stop(t)
	e, err := b.Experiment(AsFolded(t.Context()), "0")
	require.NoError(t, err)
	require.Equal(t, "Default", e.Name)
	srv.Resume(t)
}
