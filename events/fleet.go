package events

import "time"

// LoadClass says whether a failed load may succeed later.
type LoadClass string

const (
	LoadTransient LoadClass = "transient" // store or network away: the instance retries, nothing is rolled back
	LoadPermanent LoadClass = "permanent" // digest, decode or golden rows: the version is bad, or this instance is
)

// Serving identifies an instance and what it serves.
type Serving struct {
	// Instance is the name of the process, stable over restarts; Boot changes at each start.
	Instance string `json:"instance"`
	Boot     string `json:"boot"`
	// Version is 0 while none is loaded.
	Version           int    `json:"version"`
	Digest            string `json:"digest,omitempty"`
	PromotionSequence uint64 `json:"promotion_sequence"`
	// RolloutRevision is that of the split in force, Candidate the version that it tries; 0 while there is none.
	RolloutRevision int `json:"rollout_revision,omitempty"`
	Candidate       int `json:"candidate,omitempty"`
}

// ModelLoaded says that an instance answers with a version from now on. Published by inference; read by the registry and the pages.
type ModelLoaded struct {
	Serving
	// DurationMS is the time from the promotion's receipt to the swap, in milliseconds.
	DurationMS float64 `json:"duration_ms"`
	// FromDisk is true if the bundle came from the local copy.
	FromDisk bool `json:"from_disk,omitempty"`
	// Rollout is over 0 if the version was loaded as the candidate of that revision: it is not what the instance serves as Production.
	Rollout int `json:"rollout,omitempty"`
}

// ModelLoadFailed says that an instance could not load a promoted version and goes on with what it had. The version, digest and promotion are
// those that failed. Published by inference; read by the registry, which decides on a rollback.
type ModelLoadFailed struct {
	Serving
	Class  LoadClass `json:"class"`
	Reason string    `json:"reason"`
	// StillServing is the version that goes on answering, 0 for none.
	StillServing int `json:"still_serving"`
	// Rollout is over 0 if the version is the candidate of that revision, and Production goes on as it was.
	Rollout int `json:"rollout,omitempty"`
}

// InstanceAlive is an instance's sign of life, every 15 seconds. Published by inference.
type InstanceAlive struct {
	Serving
	StartedAt time.Time `json:"started_at"`
	// Predictions is the ordinal of the last prediction of this boot, Dropped how many of them could not be logged.
	Predictions uint64 `json:"predictions"`
	Dropped     uint64 `json:"dropped"`
	// Address is where HTTP is served, host:port.
	Address string `json:"address,omitempty"`
}
