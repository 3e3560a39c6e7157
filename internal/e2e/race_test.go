//go:build race

package e2e

// raceFlags build the programs as the test itself was built.
var raceFlags = []string{"-race"}

// slowTrees make a bundle slow; the race detector does the rest.
const slowTrees = 8_000
