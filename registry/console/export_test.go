package console

import (
	"net/http"
	"time"

	"telco-churn-mlops/registry"
)

// MountWithBeat is Mount with another pause between a feed's signs of life.
func MountWithBeat(beat time.Duration) registry.Mount {
	return func(s *registry.Service, mux *http.ServeMux) error { return mount(s, mux, beat) }
}

// FeedsEach is how many feeds one user may have open.
const FeedsEach = feedsEach
