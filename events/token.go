package events

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// MaxModelName is the longest model name in bytes that fits a subject token and a consumer name after encoding.
const MaxModelName = 150

// PlainName reports whether name can stand in a subject, a stream key and a file name as it is: [A-Za-z0-9_-]+, at most MaxModelName bytes.
func PlainName(name string) bool {
	if name == "" || len(name) > MaxModelName {
		return false
	}
	for _, r := range []byte(name) {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return false
		}
	}
	return true
}

// Token returns the subject token of a model's name. A plain name (see [PlainName]) is its own token; any other becomes "=" and its
// unpadded URL-safe base64, which no plain name can equal. [FromToken] reverses it. The empty name and a name over MaxModelName bytes
// are errors.
func Token(model string) (string, error) {
	if model == "" {
		return "", fmt.Errorf("model name: %w: empty", ErrInvalid)
	}
	if len(model) > MaxModelName {
		return "", fmt.Errorf("model name: %w: %d bytes, at most %d", ErrInvalid, len(model), MaxModelName)
	}
	if PlainName(model) {
		return model, nil
	}
	return "=" + base64.RawURLEncoding.EncodeToString([]byte(model)), nil
}

// FromToken returns the model name that [Token] encoded. A token that Token cannot have made is an error.
func FromToken(token string) (string, error) {
	if PlainName(token) {
		return token, nil
	}
	enc, ok := strings.CutPrefix(token, "=")
	if !ok {
		return "", fmt.Errorf("model token %q: %w", token, ErrInvalid)
	}
	name, err := base64.RawURLEncoding.DecodeString(enc)
	if err != nil {
		return "", fmt.Errorf("model token %q: %w", token, ErrInvalid)
	}
	if again, err := Token(string(name)); err != nil || again != token {
		return "", fmt.Errorf("model token %q: %w: not canonical", token, ErrInvalid)
	}
	return string(name), nil
}
