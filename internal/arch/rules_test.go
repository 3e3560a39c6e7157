package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// services are the four that meet on subjects alone.
var services = []string{"trainer", "registry", "inference", "drift"}

// rule is one rule. Every rule has breaches that prove it in breach_test.go.
type rule struct {
	name string
	// applies says which files the rule is about, check where one breaks it.
	applies func(source) bool
	check   func(source) []breach
}

type breach struct {
	line int
	says string
}

var rules = []rule{
	{"services do not import each other",
		func(s source) bool { return slices.Contains(services, s.top()) },
		forbidImports(func(s source, i imported) bool {
			p, local := i.local()
			return local && within(p, services...) && !within(p, s.top())
		})},
	{"model, events and internal do not import services",
		func(s source) bool {
			return within(s.dir(), "model", "events", "internal") && !(s.isTest() && s.dir() == "internal/e2e")
		}, // which plays the whole
		forbidImports(func(_ source, i imported) bool { p, local := i.local(); return local && within(p, services...) })},
	{"nothing imports cmd or bench", everywhere, // but for what the benchmarks share
		forbidImports(func(s source, i imported) bool {
			p, local := i.local()
			return local && within(p, "cmd", "bench") && !(p == "bench/measure" && within(s.dir(), "bench"))
		})},
	{"events, model/gbdt and model/eval import the standard library alone",
		func(s source) bool { return s.ships() && within(s.dir(), "events", "model/gbdt", "model/eval") },
		forbidImports(func(_ source, i imported) bool { return !i.standard() })},
	{"model imports nothing else of this repository",
		func(s source) bool { return !s.isTest() && within(s.dir(), "model") },
		forbidImports(func(_ source, i imported) bool { p, local := i.local(); return local && !within(p, "model") })},
	{"model imports no library that was not looked at",
		func(s source) bool { return s.ships() && within(s.dir(), "model") },
		forbidImports(func(_ source, i imported) bool {
			_, local := i.local()
			return !local && !i.standard() && !within(i.path, modelLibraries...)
		})},
	{"model reaches no file, network or log",
		func(s source) bool { return !s.isTest() && within(s.dir(), "model") },
		join(forbidImports(func(_ source, i imported) bool { return within(i.path, effects...) }),
			forbidUse(map[string][]string{"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"}}), forbidBuiltins("print", "println"))},
	{"model reads no clock",
		func(s source) bool { return !s.isTest() && within(s.dir(), "model") },
		forbidUse(map[string][]string{
			"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
			"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
		})},
	{"minio-go stays in internal/artifact/s3",
		func(s source) bool { return s.dir() != "internal/artifact/s3" },
		forbidImports(func(_ source, i imported) bool { return strings.HasPrefix(i.path, "github.com/minio/") })},
	{"nats-server stays in internal/bus/embedded",
		func(s source) bool { return s.dir() != "internal/bus/embedded" },
		forbidImports(func(_ source, i imported) bool { return within(i.path, "github.com/nats-io/nats-server") })},
	{"what ships imports no testing",
		source.ships,
		forbidImports(func(_ source, i imported) bool {
			p, local := i.local()
			return within(i.path, "testing", "github.com/stretchr/testify", "net/http/httptest") || local && strings.HasSuffix(path.Base(p), "test") && path.Base(p) != "backtest" // which tests models
		})},
	{"environment and flags are read in cmd, bench and internal/app",
		func(s source) bool { return s.ships() && !within(s.dir(), "cmd", "bench", "internal/app") },
		join(forbidImports(func(_ source, i imported) bool { return i.path == "flag" }),
			forbidUse(map[string][]string{"os": {"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Args"}}))},
	{"no init, default mux or default registry", source.ships,
		join(forbidInit, forbidUse(map[string][]string{
			"net/http": {"Handle", "HandleFunc", "DefaultServeMux"},
			"github.com/prometheus/client_golang/prometheus": {"Register", "MustRegister", "DefaultRegisterer", "DefaultGatherer"},
			"github.com/prometheus/client_golang/prometheus/promauto": {"NewCounter", "NewCounterVec", "NewCounterFunc", "NewGauge", "NewGaugeVec",
				"NewGaugeFunc", "NewHistogram", "NewHistogramVec", "NewSummary", "NewSummaryVec", "NewUntypedFunc"},
		}))},
	{"packages are named for what they hold", everywhere, checkName},
}

// modelLibraries are the libraries that model may use: each computes on what it is given, as model uses it.
var modelLibraries = []string{"github.com/cespare/xxhash/v2", "github.com/goccy/go-yaml", "gonum.org/v1/gonum"}

// effects are the packages of the standard library that reach outside.
var effects = []string{"os", "net", "log", "syscall", "plugin", "path/filepath", "io/ioutil", "crypto/tls", "database", "expvar", "C"}

// vague are package names that say nothing.
var vague = []string{"util", "utils", "common", "misc", "types", "helper", "helpers"}

func everywhere(source) bool { return true }

func join(checks ...func(source) []breach) func(source) []breach {
	return func(s source) []breach {
		var all []breach
		for _, c := range checks {
			all = append(all, c(s)...)
		}
		return all
	}
}

func forbidImports(forbidden func(source, imported) bool) func(source) []breach {
	return func(s source) []breach {
		var all []breach
		for _, i := range s.imports() {
			if forbidden(s, i) {
				all = append(all, breach{i.line, "imports " + i.path})
			}
		}
		return all
	}
}

// forbidUse finds names of packages, called or passed on as a value, under whatever name the package is imported. A dot import of such
// a package is a breach in itself, as its names could not be told from others.
func forbidUse(names map[string][]string) func(source) []breach {
	return func(s source) []breach {
		var all []breach
		packages := map[string]string{}
		for _, i := range s.imports() {
			if names[i.path] == nil {
				continue
			}
			switch i.name {
			case ".":
				all = append(all, breach{i.line, "imports " + i.path + " with a dot"})
			case "":
				packages[path.Base(i.path)] = i.path
			default:
				packages[i.name] = i.path
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			// Obj is nil for a name that the file does not declare itself, such as a package.
			if id, ok := sel.X.(*ast.Ident); ok && id.Obj == nil && slices.Contains(names[packages[id.Name]], sel.Sel.Name) {
				all = append(all, breach{s.line(sel), "uses " + packages[id.Name] + "." + sel.Sel.Name})
			}
			return true
		})
		return all
	}
}

func forbidBuiltins(names ...string) func(source) []breach {
	return func(s source) []breach {
		var all []breach
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && id.Obj == nil && slices.Contains(names, id.Name) {
					all = append(all, breach{s.line(call), "calls " + id.Name})
				}
			}
			return true
		})
		return all
	}
}

func forbidInit(s source) []breach {
	var all []breach
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			all = append(all, breach{s.line(f), "declares init"})
		}
	}
	return all
}

func checkName(s source) []breach {
	for _, name := range []string{strings.TrimSuffix(s.file.Name.Name, "_test"), path.Base(s.dir())} {
		if slices.Contains(vague, name) {
			return []breach{{s.line(s.file.Name), fmt.Sprintf("the name %s says nothing", name)}}
		}
	}
	return nil
}
