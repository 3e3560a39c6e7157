package registry

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
)

//go:embed templates/pages.html templates/style.css
var files embed.FS

const (
	// pageRefresh is how long a page waits for the streams before it shows what was known before.
	pageRefresh = 2 * time.Second
	// downloadTime bounds one download.
	downloadTime = 30 * time.Minute
)

// pages shows the folds. It changes nothing.
type pages struct {
	s         *Service
	templates *template.Template
}

func newPages(s *Service) (http.Handler, error) {
	t, err := template.New("pages").Funcs(templateFuncs).ParseFS(files, "templates/pages.html")
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	style, err := files.ReadFile("templates/style.css")
	if err != nil {
		return nil, fmt.Errorf("read style: %w", err)
	}
	p := &pages{s: s, templates: t}
	mux := http.NewServeMux()
	s.cfg.Health.Mount(mux)
	if g, ok := s.cfg.Metrics.(prometheus.Gatherer); ok {
		mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	}
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write(style) // the client has gone: nobody is left to tell
	})
	mux.HandleFunc("GET /{$}", p.page(p.overview))
	mux.HandleFunc("GET /models", redirectHome)
	mux.HandleFunc("GET /experiments", redirectHome)
	mux.HandleFunc("GET /experiments/{name}", p.page(p.experiment))
	mux.HandleFunc("GET /runs/{id}", p.page(p.run))
	mux.HandleFunc("GET /runs/{id}/artifacts/{name...}", p.download)
	mux.HandleFunc("GET /models/{model}", p.page(p.model))
	mux.HandleFunc("GET /models/{model}/versions/{version}", p.page(p.version))
	mux.HandleFunc("GET /drift/{model}", p.page(p.drift))
	return mux, nil
}

func redirectHome(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }

// page serves what build returns: the name of a template and its data. A nil view is a page that does not exist, and the name says what.
func (p *pages) page(build func(*http.Request, frame) (string, any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := p.frame(r.Context())
		name, data := build(r, f)
		code := http.StatusOK
		if data == nil {
			f.Title = "Not found"
			code, name, data = http.StatusNotFound, "missing", missingView{f, name}
		}
		var body bytes.Buffer
		if err := p.templates.ExecuteTemplate(&body, name, data); err != nil {
			p.s.log.Error("page not rendered", "path", r.URL.Path, "err", err)
			http.Error(w, "the page could not be made; the log says why", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(code)
		_, _ = w.Write(body.Bytes()) // the client has gone: nobody is left to tell
	}
}

// frame brings the fold up to date, if that is possible soon, and returns what every page shows.
func (p *pages) frame(ctx context.Context) frame {
	ctx, cancel := context.WithTimeout(ctx, pageRefresh)
	defer cancel()
	var f frame
	if !p.s.cfg.Bus.Connected() {
		f.Stale = "NATS is away"
	} else if err := p.s.ledger.refresh(ctx); err != nil {
		f.Stale = err.Error()
	}
	p.s.ledger.view(func(c *Catalog, _ *Fleet) { f.Models, f.Through, f.Junk = c.Models(), c.Through(), c.Junk() })
	return f
}

// modelName returns the model that the path names, and false if there is none.
func (f frame) modelName(r *http.Request) (string, bool) {
	name, err := events.FromToken(r.PathValue("model"))
	if err != nil {
		return "", false
	}
	for _, known := range f.Models {
		if known == name {
			return name, true
		}
	}
	return "", false
}

func (p *pages) version(r *http.Request, f frame) (string, any) {
	name, ok := f.modelName(r)
	n, err := strconv.Atoi(r.PathValue("version"))
	if !ok || err != nil {
		return "version", nil
	}
	view := versionView{frame: f}
	p.s.ledger.view(func(c *Catalog, _ *Fleet) {
		view.Version, ok = c.Version(name, n)
		view.Overtaken = ok && c.Overtaken(view.Version)
	})
	if !ok {
		return "version", nil
	}
	view.Title = fmt.Sprintf("%s version %d", name, n)
	return "version", view
}

func (p *pages) run(r *http.Request, f frame) (string, any) {
	view := runView{frame: f}
	var ok bool
	p.s.ledger.view(func(c *Catalog, _ *Fleet) { view.Run, ok = c.Run(r.PathValue("id")) })
	if !ok {
		return "run", nil
	}
	view.Title = "Run " + view.Run.ID
	return "run", view
}

// download streams an artifact of a run. The store verifies what it gives: a damaged object ends the transfer before its end, so that the
// client sees a broken download and never a whole one that is wrong.
func (p *pages) download(w http.ResponseWriter, r *http.Request) {
	var a events.Artifact
	var ok bool
	p.frame(r.Context())
	p.s.ledger.view(func(c *Catalog, _ *Fleet) {
		if run, known := c.Run(r.PathValue("id")); known && run.Completed != nil {
			a, ok = find(run.Completed.Artifacts, r.PathValue("name"))
		}
	})
	if !ok {
		http.Error(w, "no such artifact", http.StatusNotFound)
		return
	}
	digest := artifact.Digest(a.Digest)
	ref, err := p.s.cfg.Store.Stat(r.Context(), digest)
	if err != nil {
		p.unavailable(w, a, err)
		return
	}
	rc, err := p.s.cfg.Store.Open(r.Context(), digest)
	if err != nil {
		p.unavailable(w, a, err)
		return
	}
	defer rc.Close() // the transfer is over by then
	h := w.Header()
	h.Set("Content-Type", contentType(a.Name))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(a.Name)}))
	h.Set("Content-Length", strconv.FormatInt(ref.Size, 10))
	h.Set("ETag", strconv.Quote(a.Digest))
	h.Set("X-Content-Type-Options", "nosniff")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime)) // without one the server's own holds
	if err := transfer(w, rc); err != nil {
		p.s.log.Warn("download ended early", "digest", a.Digest, "err", err)
		panic(http.ErrAbortHandler)
	}
}

// transfer copies r to w but keeps back the last bytes until the end of r has proven the rest.
func transfer(w io.Writer, r io.Reader) error {
	const keep = 4 << 10
	buf := make([]byte, 64<<10)
	n := 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		if errors.Is(err, io.EOF) {
			_, err = w.Write(buf[:n])
			return err
		}
		if err != nil {
			return err
		}
		if n == len(buf) {
			if _, err := w.Write(buf[:n-keep]); err != nil {
				return err
			}
			n = copy(buf, buf[n-keep:n])
		}
	}
}

func (p *pages) unavailable(w http.ResponseWriter, a events.Artifact, err error) {
	p.s.log.Warn("artifact not served", "digest", a.Digest, "err", err)
	if artifact.Transient(err) {
		http.Error(w, "the artifact store is away, try again", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "the artifact is not in the store", http.StatusNotFound)
}

// contentType returns what a browser should take a file for; anything it might run is only bytes.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return "application/json"
	case ".csv":
		return "text/csv; charset=utf-8"
	case ".txt", ".yaml", ".md":
		return "text/plain; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".tar":
		return "application/x-tar"
	}
	return "application/octet-stream"
}
