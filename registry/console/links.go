package console

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"

	"telco-churn-mlops/events"
)

// modelPath is the address of a model's page. The token of a name is the name itself for most, and for any other name something that no server
// or proxy on the way takes for more than one segment: that of [events.Token], made the same way for names that are too long for a subject.
func modelPath(name string) string {
	if events.PlainName(name) {
		return "/models/" + name
	}
	return "/models/=" + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// modelNames returns what a token of modelPath, or one that somebody wrote by hand, may name, the likeliest first.
func modelNames(token string) []string {
	if encoded, ok := strings.CutPrefix(token, "="); ok {
		if name, err := base64.RawURLEncoding.DecodeString(encoded); err == nil {
			return []string{string(name), token}
		}
	}
	return []string{token}
}

func versionPath(name string, version int) string {
	return modelPath(name) + "/versions/" + strconv.Itoa(version)
}

func runPath(id string) string { return "/runs/" + segment(id) }

func experimentPath(id string) string { return "/experiments/" + segment(id) }

// segment escapes one segment of a path. A segment of dots alone would be taken for a step.
func segment(s string) string {
	if strings.Trim(s, ".") == "" {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

// segments escapes a path of slashes.
func segments(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = segment(p)
	}
	return strings.Join(parts, "/")
}

// with returns the address of a page with some of its settings changed; an empty value takes a setting away.
func with(path string, settings url.Values, changes ...string) string {
	q := url.Values{}
	for k, v := range settings {
		q[k] = v
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "" {
			q.Del(changes[i])
		} else {
			q.Set(changes[i], changes[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
