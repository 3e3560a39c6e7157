package inference_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/app"
)

func TestConfigNamesEveryBrokenRule(t *testing.T) {
	err := inference.Config{}.Validate()
	for _, rule := range []string{"model name", "instance", "address", "in-flight", "log queue", "log bytes", "largest body", "most records",
		"largest bundle", "alive interval", "reload interval", "stop timeout", "http read timeout", "a bus with a store", "logger", "registerer", "health"} {
		require.ErrorContains(t, err, rule)
	}
	w := newWorld(t)
	require.NoError(t, w.config(t, "one").Validate())
	c := w.config(t, "one")
	c.Dial = nil
	require.ErrorContains(t, c.Validate(), "a bus with a store")
	c.Bus, c.Store = w.bus, w.store
	require.NoError(t, c.Validate())
	c.InFlight = 1 << 40
	require.ErrorContains(t, c.Validate(), "in-flight bound must be 1 to 1048576, is 1099511627776")
}

func TestBusyPortIsAnErrorAtOnceThatNamesTheFlag(t *testing.T) {
	w := newWorld(t)
	first, err := inference.New(w.config(t, "one"))
	require.NoError(t, err)
	defer first.Close()
	c := w.config(t, "two")
	c.Addr, c.AddrFlag = first.Addr(), "--inference-addr"
	_, err = inference.New(c)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, "--inference-addr")
}

func TestNewFreesThePortWhenItFails(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	first, err := inference.New(c)
	require.NoError(t, err)
	addr := first.Addr()
	first.Close()
	c.Addr, c.Health = addr, app.NewHealth()
	_, err = inference.New(c) // its metrics are registered already
	require.ErrorContains(t, err, "register metrics")
	c.Metrics = app.NewRegistry()
	again, err := inference.New(c)
	require.NoError(t, err)
	again.Close()
}

func TestBusAndStoreOfTheCaller(t *testing.T) {
	w := newWorld(t)
	w.promote(t, w.upload(t, 1))
	c := w.config(t, "one")
	c.Dial, c.Bus, c.Store = nil, w.bus, w.store
	i := run(t, c)
	i.serves(t, 1, records(t)[0])
	i.stop()
	require.True(t, w.bus.Connected(), "the caller's bus is not closed")
}
