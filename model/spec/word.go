package spec

import (
	"math"
	"strconv"
	"strings"
)

// SameWord reports whether two trimmed values mean the same: equal texts, true and false in any case, and numbers of
// the same value, so that "1", "1.0" and "1e0" agree, as do "True" and "true". Files pass through tools that rewrite these.
func SameWord(a, b string) bool { return a == b || CanonicalWord(a) == CanonicalWord(b) }

// CanonicalWord returns the one form of a trimmed value that SameWord compares: true and false in lower case, a finite
// number without exponent and without leading or trailing zeros, anything else as it is. Whole numbers of any length keep
// their digits.
func CanonicalWord(s string) string {
	if s == "" || len(s) > 64 {
		return s
	}
	switch c := s[0]; {
	case c == 't' || c == 'T' || c == 'f' || c == 'F':
		if strings.EqualFold(s, "true") || strings.EqualFold(s, "false") {
			return strings.ToLower(s)
		}
		return s
	case c != '-' && c != '+' && c != '.' && (c < '0' || c > '9'):
		return s
	}
	if canonicalInteger(s) {
		return s
	}
	if strings.ContainsAny(s, "xXpP_") {
		return s
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) || math.Abs(v) >= 1<<53 {
		return s
	}
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// canonicalInteger reports whether s is a whole number in its shortest form.
func canonicalInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || digits[0] == '0' {
		return s == "0"
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}
