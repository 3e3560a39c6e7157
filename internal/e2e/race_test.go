//go:build race

package e2e

// raceFlags build the programs as the test itself was built.
var raceFlags = []string{"-race"}
