//go:build !soak

package drift

// killSeeds is how many runs of kills at random places are made.
const killSeeds = 1
