//go:build !race

package e2e

var raceFlags []string

// slowTrees make a bundle slow.
const slowTrees = 30_000
