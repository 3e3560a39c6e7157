package batch_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// bgContext is that of a process that is killed rather than stopped.
func bgContext() context.Context { return context.Background() }
