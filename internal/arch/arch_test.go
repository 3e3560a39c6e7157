package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is the prefix of the repository's own import paths.
const module = "telco-churn-mlops"

// source is one parsed Go file.
type source struct {
	path string // from the repository's root, with slashes
	fset *token.FileSet
	file *ast.File
}

// parse reads a file. text is its content, or nil to read it from disk at from.
func parse(name, from string, text any) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, from, text, parser.ParseComments)
	if err != nil {
		return source{}, fmt.Errorf("parse %s: %w", name, err)
	}
	return source{name, fset, file}, nil
}

func (s source) dir() string { return path.Dir(s.path) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// helpsTests reports whether the package exists for tests alone, such as bustest.
func (s source) helpsTests() bool {
	return strings.HasSuffix(s.file.Name.Name, "test") && !strings.HasSuffix(s.file.Name.Name, "_test")
}

// ships reports whether the file can become part of a binary.
func (s source) ships() bool { return !s.isTest() && !s.helpsTests() }

// top returns the first folder, for instance "model" of model/gbdt/tree.go.
func (s source) top() string { top, _, _ := strings.Cut(s.path, "/"); return top }

// line returns the number of the line that a node starts on.
func (s source) line(n ast.Node) int { return s.fset.Position(n.Pos()).Line }

// imports returns what the file imports, in order.
func (s source) imports() []imported {
	var all []imported
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic("arch: the parser let an import path pass that is no string")
		}
		i := imported{path: p, line: s.line(spec)}
		if spec.Name != nil {
			i.name = spec.Name.Name
		}
		all = append(all, i)
	}
	return all
}

type imported struct {
	path string
	name string // as the file renames it, else empty
	line int
}

// local returns the path within this repository, and false for a package from elsewhere.
func (i imported) local() (string, bool) {
	if i.path == module {
		return ".", true
	}
	return strings.CutPrefix(i.path, module+"/")
}

// standard reports whether the package is of the standard library: the first element of any other path has a dot. cgo's "C" is not.
func (i imported) standard() bool {
	first, _, _ := strings.Cut(i.path, "/")
	_, local := i.local()
	return !local && i.path != "C" && !strings.Contains(first, ".")
}

// within reports whether a path is one of the folders or below one.
func within(p string, folders ...string) bool {
	for _, f := range folders {
		if p == f || strings.HasPrefix(p, f+"/") {
			return true
		}
	}
	return false
}

// root returns the repository's root.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		require.NotEqual(t, dir, up, "no go.mod above the test")
		dir = up
	}
}

// repository parses every Go file of the repository, but for testdata and folders that the go command leaves out too.
func repository(t *testing.T) []source {
	t.Helper()
	base := root(t)
	var all []source
	err := filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && p != base && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		rel, err := filepath.Rel(base, p)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), p, nil)
		all = append(all, s)
		return err
	})
	require.NoError(t, err)
	return all
}

func TestRepositoryKeepsTheRules(t *testing.T) {
	sources := repository(t)
	tops := map[string]bool{}
	for _, s := range sources {
		tops[s.top()] = true
	}
	for _, top := range append([]string{"cmd", "events", "model", "internal"}, services...) {
		require.True(t, tops[top], "no Go file found in %s: the walk is broken or the folder was renamed", top)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			looked := 0
			for _, s := range sources {
				if !r.applies(s) {
					continue
				}
				looked++
				for _, b := range r.check(s) {
					t.Errorf("%s:%d: %s (%s)", s.path, b.line, b.says, r.name)
				}
			}
			require.Positive(t, looked, "the rule applies to no file")
		})
	}
}
