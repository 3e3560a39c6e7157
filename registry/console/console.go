package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

//go:embed templates/*.html static/*
var files embed.FS

const (
	// pageRefresh is how long a page waits for the streams before it shows what was known before.
	pageRefresh = 2 * time.Second
	// formBytes bounds the body of a form.
	formBytes = 1 << 20
	policy    = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// site makes the pages of one registry. It is safe for concurrent use.
type site struct {
	s         *registry.Service
	book      *tracking.Book
	templates *template.Template
	feeds     seats
	beat      time.Duration // of the feeds
	dead      deadCount
}

// Mount adds the pages to mux: "/", "/experiments", "/runs", "/models", "/drift", "/events" and "/static", and the answer to
// any path that nobody else has. They ask [access] who may do what.
func Mount(s *registry.Service, mux *http.ServeMux) error { return mount(s, mux, feedBeat) }

func mount(s *registry.Service, mux *http.ServeMux, beat time.Duration) error {
	p := &site{s: s, book: s.Tracking(), beat: beat}
	t, err := template.New("pages").Funcs(p.funcs()).ParseFS(files, "templates/*.html")
	if err != nil {
		return fmt.Errorf("parse pages: %w", err)
	}
	p.templates = t
	static, err := fs.Sub(files, "static")
	if err != nil {
		return fmt.Errorf("static files: %w", err)
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", cached(withoutFolders(http.FileServerFS(static)))))
	get := func(pattern string, build func(*request) (view, error)) {
		mux.Handle("GET "+pattern, p.page(access.Read, build))
	}
	get("/{$}", p.overview)
	get("/experiments", p.experiments)
	get("/experiments/{experiment}", p.runs)
	mux.Handle("GET /experiments/{experiment}/runs.csv", access.Require(access.Read, http.HandlerFunc(p.runsCSV)))
	get("/runs/compare", p.compare)
	get("/runs/{run}", p.run)
	get("/runs/{run}/files/{path...}", p.files)
	mux.Handle("GET /runs/{run}/artifacts/{path...}", access.Require(access.Read, http.HandlerFunc(p.download)))
	get("/models", p.models)
	get("/models/{model}", p.model)
	get("/models/{model}/diff", p.diff)
	get("/models/{model}/audit", p.audit)
	get("/models/{model}/versions/{version}", p.version)
	mux.Handle("GET /models/{model}/versions/{version}/artifacts/{path...}", access.Require(access.Read, http.HandlerFunc(p.downloadVersion)))
	for _, a := range p.actions() {
		mux.Handle("GET "+a.pattern, p.page(access.Read, a.ask))
		mux.Handle("POST "+a.pattern, p.page(a.role, a.do))
	}
	get("/drift", p.drifts)
	get("/drift/{model}", p.drift)
	get("/events", p.events)
	mux.Handle("GET /events/stream", access.Require(access.Read, http.HandlerFunc(p.feed)))
	mux.Handle("/", p.nowhere(mux))
	return nil
}

// nowhere answers what no handler of mux is for: browsers get a page with the menu, programs the plain words of the standard library, and what is
// there for another method is said to be.
func (p *site) nowhere(mux *http.ServeMux) http.Handler {
	lost := p.page(access.Read, func(r *request) (view, error) {
		return view{}, &missing{what: "page " + cut(r.URL.Path, 80), hint: "The entries above lead to everything that is here."}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		looks := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !looks {
			probe := r.Clone(r.Context())
			probe.Method = http.MethodGet
			if _, pattern := mux.Handler(probe); pattern != "/" {
				w.Header().Set("Allow", "GET, HEAD")
				http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
				return
			}
		}
		if !looks || !strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.NotFound(w, r)
			return
		}
		lost.ServeHTTP(w, r)
	})
}

// withoutFolders answers 404 where a path names a folder, which [http.FileServerFS] would list.
func withoutFolders(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean("/"+r.URL.Path) == "/" || strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

// frame is what every page shows. Area is the entry of the menu that the page belongs to.
type frame struct {
	Title, Area string
	Crumbs      []link
	Who         string
	MayPromote  bool // the viewer has the role of the forms that move stages and aliases
	MayRegister bool // and that of those that describe
	Through     uint64
	Junk, Dead  uint64
	Stale       string // why the folds could not be brought up to date
	Done        string // what the form that led here did
	Position    string // of the feed, in event ids
	Release     string
}

type link struct{ Name, Words, Href string }

// Areas are the entries of the menu.
func (frame) Areas() []link {
	return []link{
		{"experiments", "Experiments", "/experiments"}, {"models", "Models", "/models"}, {"drift", "Drift", "/drift"}, {"events", "Events", "/events"},
	}
}

// request is one request of a page with what its view begins from.
type request struct {
	*http.Request
	frame frame
}

// view is what a page shows: the name of a template and its data. Location, if set, sends the browser there instead.
type view struct {
	template string
	data     any
	location string
	code     int // 0 is 200
}

// page serves what build returns, if the sender has the role.
func (p *site) page(role access.Role, build func(*request) (view, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, formBytes)
		req := &request{Request: r, frame: p.frame(r)}
		if r.Method == http.MethodGet { // the frame has refreshed, or could not
			req.Request = r.WithContext(tracking.AsFolded(r.Context()))
		}
		err := access.Allow(r.Context(), role)
		var v view
		if err == nil {
			v, err = build(req)
		}
		if errors.Is(err, access.ErrUnauthenticated) {
			w.Header().Set("WWW-Authenticate", `Basic realm="churn", charset="UTF-8"`)
		}
		if err != nil {
			v = problem(req, err)
		}
		if v.location != "" {
			http.Redirect(w, r, v.location, http.StatusSeeOther)
			return
		}
		p.write(w, req, v)
	})
}

func (p *site) write(w http.ResponseWriter, r *request, v view) {
	var body bytes.Buffer
	if err := p.templates.ExecuteTemplate(&body, v.template, v.data); err != nil {
		p.s.Log().Error("page not rendered", "path", r.URL.Path, "err", err)
		http.Error(w, "the page could not be made; the log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	if v.code != 0 {
		w.WriteHeader(v.code)
	}
	_, _ = w.Write(body.Bytes()) // the client has gone: nobody is left to tell
}

// frame brings the folds up to date, if that is possible soon.
func (p *site) frame(r *http.Request) frame {
	ctx, cancel := context.WithTimeout(r.Context(), pageRefresh)
	defer cancel()
	f := frame{Release: app.Version(), Done: doneWords[r.URL.Query().Get("done")]}
	f.MayPromote, f.MayRegister = access.Allow(r.Context(), access.Promote) == nil, access.Allow(r.Context(), access.Register) == nil
	if who := access.From(r.Context()); who.Name != "" && who.Name != access.Anonymous {
		f.Who = fmt.Sprintf("%s (%s)", who.Name, who.Role)
	}
	if !p.s.Bus().Connected() {
		f.Stale = "NATS is away"
	} else {
		var lifecycle, book error
		var both sync.WaitGroup
		both.Go(func() { lifecycle = p.s.Fresh(ctx) })
		both.Go(func() { book = p.book.Fresh(ctx) })
		both.Wait()
		if err := errors.Join(lifecycle, book); err != nil {
			f.Stale = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		f.Dead = p.dead.count(ctx, p.s)
	}
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) { f.Through, f.Junk = c.Through(), c.Junk() })
	return f
}

// messageView is a page of a few words.
type messageView struct {
	frame
	Message, Hint, Back string
}

// problem is the page of an error.
func problem(r *request, err error) view {
	v := messageView{frame: r.frame, Message: sentence(err.Error()), Back: "/"}
	code := fault.CodeOf(err).Status()
	var page *missing
	switch {
	case errors.As(err, &page):
		code, v.Title, v.Hint = http.StatusNotFound, "Not found", page.hint
	case errors.Is(err, access.ErrUnauthenticated):
		code, v.Title = http.StatusUnauthorized, "Log in first"
	case errors.Is(err, access.ErrForbidden):
		code, v.Title = http.StatusForbidden, "Not permitted"
	case code == http.StatusNotFound:
		v.Title = "Not found"
	case code == http.StatusConflict:
		v.Title = "Somebody else was first"
	case code == http.StatusServiceUnavailable:
		v.Title, v.Hint = "Not possible at the moment", "NATS or the artifact store is away. Try again when it is back."
	default:
		v.Title = "That did not work"
	}
	return view{template: "message", data: v, code: code}
}

// missing is an error of a path that leads nowhere.
type missing struct{ what, hint string }

// Error implements error.
func (m *missing) Error() string { return "there is no " + m.what }

// sentence makes an error's text one of a page.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}
