package rollout

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVersionsThatFailAlike gives both sides 5 % of errors: chance alone must end hardly any step, though neither ratio is known exactly.
func TestVersionsThatFailAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fails := func() (c Counts) {
		c.Requests = 500
		for range c.Requests {
			if r.Float64() < 0.05 {
				c.Errors++
			}
		}
		return c
	}
	broken := 0
	for range 1000 {
		if _, yes := Breached(Judge(WatchOf(defaults()), Sides{Watched: fails(), Other: fails(), OtherVersion: 1}, true)); yes {
			broken++
		}
	}
	require.LessOrEqual(t, broken, 20, "of 1,000 steps; 10 are the level")
}
