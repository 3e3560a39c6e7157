package openapi

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed page
var files embed.FS

// policy lets the page load its own files and talk to its own instance, and nothing else: no inline script, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page returns the handler of /docs and what is under it: a page that reads the document at /openapi.json, shows the record of /predict as a form with an example filled
// in, sends it and shows the answer. All links are relative, so it works behind a path prefix. Only GET and HEAD are answered.
func Page() http.Handler {
	types := map[string]string{"index.html": "text/html; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
	type asset struct {
		data []byte
		etag string
	}
	assets := map[string]asset{}
	for name := range types {
		data, err := files.ReadFile("page/" + name)
		if err != nil {
			panic("openapi: " + err.Error()) // it is part of the program
		}
		sum := sha256.Sum256(data)
		assets[name] = asset{data, `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		name := path.Base(r.URL.Path)
		switch r.URL.Path {
		case "/docs":
			name = "index.html"
		case "/docs/":
			h.Set("Location", "../docs")
			w.WriteHeader(http.StatusMovedPermanently)
			return
		case "/docs/page.js", "/docs/page.css", "/docs/icon.svg":
		default:
			http.Error(w, "Not Found", http.StatusNotFound)
			return
		}
		a := assets[name]
		h.Set("Content-Type", types[name])
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("Etag", a.etag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.data))
	})
}
