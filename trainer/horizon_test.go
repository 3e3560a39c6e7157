package trainer

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/app"
)

func TestAHorizonBeyondWhatIsKeptIsRefused(t *testing.T) {
	w := newWorld(t)
	w.spec.Labels.Horizon = 36 * 24 * time.Hour
	c := DefaultConfig()
	c.Spec, c.Dataset, c.Addr, c.Instance = w.spec, w.data, "127.0.0.1:0", "a"
	c.Bus, c.Store, c.Log, c.Metrics, c.Health = w.bus, w.store, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), app.NewHealth()
	s, err := New(c)
	require.NoError(t, err)
	err = s.Run(t.Context())
	require.ErrorIs(t, err, ErrHorizon)
	require.ErrorContains(t, err, "864h")
	require.ErrorContains(t, err, "PREDICTIONS keeps 840h")
}
