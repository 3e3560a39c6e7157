package registry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func newPages(s *Service) (http.Handler, error) {
	mux := http.NewServeMux()
	s.cfg.Health.Mount(mux)
	if g, ok := s.cfg.Metrics.(prometheus.Gatherer); ok {
		mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	}
	return mux, nil
}
