package app

import (
	"context"
	"net"
	"net/http"
)

type drainKey struct{}

// Draining returns a context that ends when the [Server] that serves the request of ctx begins to stop. A handler that answers for as long as
// the client listens ends then, or it would be cut off only after DrainTimeout. Of a context that no Server made it returns one that
// never ends.
func Draining(ctx context.Context) context.Context {
	if d, ok := ctx.Value(drainKey{}).(context.Context); ok {
		return d
	}
	return context.Background()
}

// tellDraining makes h's requests carry what Draining returns.
func tellDraining(h *http.Server) {
	draining, drain := context.WithCancel(context.Background())
	base := context.WithValue(context.Background(), drainKey{}, draining)
	h.BaseContext = func(net.Listener) context.Context { return base }
	h.RegisterOnShutdown(drain)
}
