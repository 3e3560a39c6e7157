package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"strings"
)

// errBusy says that too many passwords are being compared.
var errBusy = errors.New("too many logins at once, try again")

// errHost says that the server has no users and was asked for under a name that may not be its own.
var errHost = errors.New("name refused")

// refuse answers a request that goes no further: in the JSON of the MLflow wire below /api and /ajax-api, else as a page.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	code, name := http.StatusForbidden, "PERMISSION_DENIED"
	switch {
	case errors.Is(err, ErrUnauthenticated):
		code, name = http.StatusUnauthorized, "UNAUTHENTICATED"
		w.Header().Add("WWW-Authenticate", `Basic realm="churn", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", `Bearer realm="churn"`)
	case errors.Is(err, errBusy):
		code, name = http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE"
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/ajax-api/") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"error_code": name, "message": err.Error()}) // the client has gone: nobody is left to tell
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%[1]d %[2]s</title>`+
		`<style>:root{color-scheme:light dark}body{font-family:system-ui,sans-serif;margin:4rem auto;max-width:40rem;padding:0 1rem}</style>`+
		"<h1>%[2]s</h1><p>%[3]s</p><p><a href=\"/\">Start page</a></p></html>\n", code, http.StatusText(code), html.EscapeString(err.Error()))
}
