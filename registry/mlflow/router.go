package mlflow

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry/fault"
)

// route is one method of one path.
type route struct {
	role access.Role
	op   operation
	// limit bounds the time of a call; 0 leaves that to the operation.
	limit time.Duration
}

// endpoint is a path with its methods.
type endpoint struct {
	// label is the path below the prefix, for metrics.
	label    string
	segments []string
	methods  map[string]route
}

func (e *endpoint) allow() string {
	var methods []string
	for m := range e.methods {
		methods = append(methods, m)
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// router finds the route of a request. It matches the path as it came, so that a segment may hold an encoded slash, and, unlike [http.ServeMux],
// changes and redirects nothing. Its zero value is empty and usable; it is not to be changed once requests come.
type router struct {
	fixed  map[string]*endpoint
	shaped []*endpoint // with variables, few
}

// found is what a path led to. endpoint is nil for an unknown path.
type found struct {
	endpoint *endpoint
	route    route
	vars     []string
}

// add registers a route, and panics if it is there already.
func (t *router) add(method, path, label string, rt route) {
	if t.fixed == nil {
		t.fixed = map[string]*endpoint{}
	}
	e := t.lookup(path)
	if e == nil {
		e = &endpoint{label: label, segments: strings.Split(path, "/"), methods: map[string]route{}}
		if strings.Contains(path, "{") {
			t.shaped = append(t.shaped, e)
		} else {
			t.fixed[path] = e
		}
	}
	if _, twice := e.methods[method]; twice {
		panic("mlflow: two routes for " + method + " " + path)
	}
	e.methods[method] = rt
}

func (t *router) lookup(path string) *endpoint {
	if e := t.fixed[path]; e != nil {
		return e
	}
	for _, e := range t.shaped {
		if strings.Join(e.segments, "/") == path {
			return e
		}
	}
	return nil
}

// find returns the route of a request. An unknown path is [fault.Endpoint], and so is a known one with another method: clients that know
// both methods try the other one then.
func (t *router) find(r *http.Request) (found, error) {
	path := r.URL.EscapedPath()
	var f found
	if e := t.fixed[path]; e != nil {
		f.endpoint = e
	} else {
		for _, e := range t.shaped {
			if vars, ok := match(e.segments, path); ok {
				f.endpoint, f.vars = e, vars
				break
			}
		}
	}
	if f.endpoint == nil {
		return f, fault.New(fault.Endpoint, "no endpoint %s", cut(r.URL.Path))
	}
	rt, ok := f.endpoint.methods[r.Method]
	if !ok && r.Method == http.MethodHead {
		rt, ok = f.endpoint.methods[http.MethodGet]
	}
	if !ok {
		return f, errMethod
	}
	f.route = rt
	return f, nil
}

// match compares an escaped path with a pattern, and returns the decoded variables as names and values in turn.
func match(pattern []string, path string) ([]string, bool) {
	var vars []string
	for i, want := range pattern {
		if name, ok := strings.CutSuffix(want, "...}"); ok {
			rest, err := url.PathUnescape(path)
			return append(vars, name[1:], rest), err == nil
		}
		segment, rest, more := strings.Cut(path, "/")
		if more == (i == len(pattern)-1) {
			return nil, false
		}
		path = rest
		if want == "" || want[0] != '{' {
			if segment != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segment)
		if err != nil || value == "" {
			return nil, false
		}
		vars = append(vars, want[1:len(want)-1], value)
	}
	return vars, true
}

// cut shortens what a client sent to what an error can show.
func cut(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
