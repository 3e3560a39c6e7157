package registry

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

// Bounds of what clients may call things, in characters or bytes as the names say.
const (
	maxNameRunes        = 256
	maxAliasRunes       = 255
	maxTagKeyBytes      = 250
	maxTagValueBytes    = 100_000
	maxDescriptionBytes = 100_000
)

var (
	aliasPattern   = regexp.MustCompile(`^[\pL\pN_-]+$`)
	versionPattern = regexp.MustCompile(`^(?i:v)[0-9]+$`)
)

func checkName(field, name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fault.New(fault.Invalid, "%s must not be empty", field)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return fault.New(fault.Invalid, "%s is not text", field)
	case utf8.RuneCountInString(name) > maxNameRunes:
		return fault.New(fault.Invalid, "%s has %d characters, at most %d are allowed", field, utf8.RuneCountInString(name), maxNameRunes)
	}
	return nil
}

func checkAlias(alias string) error {
	switch {
	case !aliasPattern.MatchString(alias) || utf8.RuneCountInString(alias) > maxAliasRunes:
		return fault.New(fault.Invalid, "alias %q must be of letters, digits, _ and - alone, at most %d", quoted(alias), maxAliasRunes)
	case strings.EqualFold(alias, "latest"), versionPattern.MatchString(alias):
		return fault.New(fault.Invalid, "alias %q is reserved", quoted(alias))
	}
	return nil
}

func checkDescription(text string) error {
	if len(text) > maxDescriptionBytes || !utf8.ValidString(text) {
		return fault.New(fault.Invalid, "description must be text of at most %d bytes, has %d", maxDescriptionBytes, len(text))
	}
	return nil
}

func checkTags(tags []events.Pair) error {
	total := 0
	for _, t := range tags {
		total += len(t.Key) + len(t.Value)
		switch {
		case t.Key == "" || len(t.Key) > maxTagKeyBytes || !utf8.ValidString(t.Key):
			return fault.New(fault.Invalid, "tag key %q must be text of 1 to %d bytes", quoted(t.Key), maxTagKeyBytes)
		case len(t.Value) > maxTagValueBytes || !utf8.ValidString(t.Value):
			return fault.New(fault.Invalid, "value of tag %q must be text of at most %d bytes, has %d", quoted(t.Key), maxTagValueBytes, len(t.Value))
		}
	}
	if total > 4*maxTagValueBytes {
		return fault.New(fault.Invalid, "the tags have %d bytes together, at most %d are allowed", total, 4*maxTagValueBytes)
	}
	return nil
}
