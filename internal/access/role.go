package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Role is what a user may do. Each includes those before it.
type Role string

// The roles, from the least to the most.
const (
	Read     Role = "read"     // look at everything, download files
	Log      Role = "log"      // experiments, runs, metrics, files and logged models
	Register Role = "register" // models and versions, their tags and descriptions
	Promote  Role = "promote"  // stages, aliases, gates, rollback
	Admin    Role = "admin"    // everything else, such as garbage collection
)

var roles = []Role{Read, Log, Register, Promote, Admin}

// Roles returns all roles from the least to the most. The slice is the caller's own.
func Roles() []Role { return slices.Clone(roles) }

// ParseRole returns the role called s, or an error that names those there are.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(roles, r) {
		return r, nil
	}
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return "", fmt.Errorf("role %.40q: want %s", s, strings.Join(names, ", "))
}

// Includes reports whether r may do what need asks for. A Role that is none of the constants includes and is included by nothing.
func (r Role) Includes(need Role) bool {
	have, want := slices.Index(roles, r), slices.Index(roles, need)
	return want >= 0 && have >= want
}

// Principal is who sent a request. The zero value is nobody.
type Principal struct {
	Name string
	Role Role
}

// Anonymous is who everybody is where there are no users.
const Anonymous = "anonymous"

var (
	// ErrUnauthenticated is returned when nobody is logged in. HTTP answers 401.
	ErrUnauthenticated = errors.New("login required")
	// ErrForbidden is returned when who is logged in lacks the role. HTTP answers 403.
	ErrForbidden = errors.New("not permitted")
)

type principalKey struct{}

// With returns a context of a request that p sent. [Policy.Wrap] does it for HTTP.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns who sent the request, or nobody (the zero Principal) for a context that did not pass [Policy.Wrap].
func From(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// Allow returns nil if the sender may do what need asks for, else ErrUnauthenticated or ErrForbidden, wrapped with who it is and what is
// lacking, in words for the client. A context that did not pass [Policy.Wrap] is refused.
func Allow(ctx context.Context, need Role) error {
	p := From(ctx)
	switch {
	case p == Principal{}:
		return ErrUnauthenticated
	case !p.Role.Includes(need):
		return fmt.Errorf("%w: %s has role %s, this needs %s", ErrForbidden, p.Name, p.Role, need)
	}
	return nil
}

// Require answers requests of those who lack the role with 401 or 403 and hands the others to h.
func Require(need Role, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := Allow(r.Context(), need); err != nil {
			refuse(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}
