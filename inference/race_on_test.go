//go:build race

package inference

// raceEnabled says that the race detector is on.
const raceEnabled = true
