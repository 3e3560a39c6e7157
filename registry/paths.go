package registry

import (
	"net/http"
	"path"
	"strings"
)

// apiPrefixes are of what machines call. A redirect to another path would have them do, with another method perhaps, what they did not ask for.
var apiPrefixes = []string{"/api/", "/ajax-api/"}

// asSent gives a request of the API whose path holds //, /./ or /../ to the handler of its prefix, as it was sent: the mux would redirect it to the
// path without them, of which a client learns nothing and which may name another file.
func asSent(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range apiPrefixes {
			if !strings.HasPrefix(r.URL.Path, prefix) || isClean(r.URL.Path) {
				continue
			}
			of := r.Clone(r.Context())
			of.URL.Path, of.URL.RawPath = prefix, ""
			h, pattern := mux.Handler(of)
			r.Pattern = pattern
			h.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// isClean reports whether a mux takes the path as it is.
func isClean(p string) bool {
	return strings.TrimSuffix(p, "/") == strings.TrimSuffix(path.Clean(p), "/") && !strings.HasSuffix(p, "//")
}
