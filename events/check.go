package events

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// check collects the first broken rule of a payload.
type check struct{ err error }

func (c *check) that(ok bool, format string, args ...any) {
	if c.err == nil && !ok {
		c.err = fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
}

func (c *check) required(field, value string) { c.that(value != "", "%s is required", field) }

func (c *check) count(field string, n int64) {
	c.that(n >= 0, "%s must not be negative, is %d", field, n)
}

func (c *check) finite(field string, v float64) {
	c.that(!math.IsNaN(v) && !math.IsInf(v, 0), "%s must be finite", field)
}

func (c *check) share(field string, v float64) {
	c.that(v >= 0 && v <= 1, "%s must be in [0, 1], is %v", field, v)
}

func (c *check) digest(field, d string) {
	h, ok := strings.CutPrefix(d, "sha256:")
	ok = ok && len(h) == 64 && strings.Trim(h, "0123456789abcdef") == ""
	c.that(ok, "%s must be sha256: and 64 hexadecimal digits, is %q", field, d)
}

// path checks the name of a file below a root: names between single slashes, none of them "." or "..".
func (c *check) path(field, path string) {
	c.required(field, path)
	c.that(utf8.ValidString(path), "%s is not UTF-8", field)
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			c.that(false, "%s %q must be a path that stays inside, without empty parts", field, path)
		}
	}
}

func (c *check) artifact(field string, a Artifact) {
	c.path(field+".name", a.Name)
	c.digest(field+".digest", a.Digest)
	c.count(field+".size_bytes", a.SizeBytes)
}

func (c *check) artifacts(field string, as []Artifact) {
	seen := make(map[string]bool, len(as))
	for i, a := range as {
		c.artifact(fmt.Sprintf("%s[%d]", field, i), a)
		c.that(!seen[a.Name], "%s[%d].name %q stands twice", field, i, a.Name)
		seen[a.Name] = true
	}
}

func (c *check) target(field string, s Stage) {
	c.that(s == StageStaging || s == StageProduction, "%s must be Staging or Production, is %q", field, s)
}

func (c *check) cause(field string, k CauseKind) {
	switch k {
	case CauseFirst, CauseDrift, CauseRequested, CauseSchedule:
	default:
		c.that(false, "%s %q is unknown", field, k)
	}
}

func (c *check) causes(cs []Cause) {
	for i, cause := range cs {
		c.cause(fmt.Sprintf("causes[%d].kind", i), cause.Kind)
	}
}

func (c *check) action(field string, a Action) {
	c.that(a == ActionRetrain || a == ActionReport, "%s %q is unknown", field, a)
}

func (c *check) record(field string, raw json.RawMessage) {
	c.that(len(raw) > 1 && raw[0] == '{', "%s must be a JSON object", field)
}

// Version and sequence numbers beyond this do not survive a reader that keeps JSON numbers as doubles.
const maxExact = 1 << 53

func (c *check) version(field string, v, least int) {
	c.that(v >= least && v < maxExact, "%s must be at least %d, is %d", field, least, v)
}

// bundle checks that a version has a bundle, or a reason why it has none.
func (c *check) bundle(b Artifact, unservable string) {
	if unservable == "" {
		c.artifact("bundle", b)
		return
	}
	c.that(b == (Artifact{}), "bundle must be absent where unservable is set")
}

// rest checks a stage that a version comes to without a promotion.
func (c *check) rest(field string, s Stage) {
	c.that(s == StageNone || s == StageStaging || s == StageArchived, "%s must be None, Staging or Archived, is %q", field, s)
}

func (c *check) wholeModel(p *ModelChanged) {
	c.that(p.Version == 0, "version must be 0 in a change of kind %s, is %d", p.Change, p.Version)
}

// pairs checks parameters or tags. How long keys and values may be is the API's to say: a stored event stays valid when that changes.
func (c *check) pairs(field string, ps []Pair) {
	for i := range ps {
		if ps[i].Key == "" {
			c.that(false, "%s[%d].key is required", field, i)
		}
	}
}

func (c *check) removed(keys []string) {
	for i, k := range keys {
		if k == "" {
			c.that(false, "removed_tags[%d] must not be empty", i)
		}
	}
}

func (c *check) lifecycle(field, stage string) {
	c.that(stage == StageActive || stage == StageDeleted, "%s must be active or deleted, is %q", field, stage)
}
