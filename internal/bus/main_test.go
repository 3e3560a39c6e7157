package bus_test

import (
	"os"
	"testing"

	"telco-churn-mlops/internal/bus/bustest"
)

func TestMain(m *testing.M) { os.Exit(bustest.Main(m)) }
