package app

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnsetEmpty(t *testing.T) {
	t.Setenv("CHURN_TEST_EMPTY", "")
	t.Setenv("CHURN_TEST_FULL", " ")
	t.Setenv("OTHER_TEST_EMPTY", "")
	require.NoError(t, UnsetEmpty("CHURN_TEST_"))
	_, there := os.LookupEnv("CHURN_TEST_EMPTY")
	require.False(t, there)
	require.Equal(t, " ", os.Getenv("CHURN_TEST_FULL"))
	_, there = os.LookupEnv("OTHER_TEST_EMPTY")
	require.True(t, there)
}
