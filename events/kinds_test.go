package events_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

func TestKinds(t *testing.T) {
	types, prefixes := map[events.Type]bool{}, map[string]bool{}
	on := 0
	for _, s := range events.Streams() {
		for _, k := range events.KindsOn(s) {
			require.Equal(t, s, k.Stream)
			on++
		}
	}
	require.Equal(t, on, len(events.Kinds()), "each kind lives on a stream that is provisioned")
	for _, k := range events.Kinds() {
		require.False(t, types[k.Type], "%s stands twice", k.Type)
		require.False(t, prefixes[k.Prefix()], "two versions on one subject: %s", k.Prefix())
		types[k.Type], prefixes[k.Prefix()] = true, true

		require.Regexp(t, `^[a-z]+\.[a-z_]+\.v[1-9]$`, string(k.Type))
		require.Equal(t, k.Type, k.New().EventType())
		require.Equal(t, reflect.TypeOf(k.New()), reflect.TypeOf(sample(t, k.Type)))
		require.NotSame(t, k.New(), k.New())
		require.Equal(t, k.Prefix()+".*", events.WildcardOf(k.Type))

		of, ok := events.KindOf(k.Type)
		require.True(t, ok)
		require.Equal(t, k.Type, of.Type)

		subject, err := events.SubjectOf(k.Type, "a b")
		require.NoError(t, err)
		require.Equal(t, k.Prefix()+".=YSBi", subject)
		parsed, model, err := events.ParseSubject(subject)
		require.NoError(t, err)
		require.Equal(t, "a b", model)
		require.Equal(t, k.Type, parsed.Type)
	}
}

func TestKindsIsACopy(t *testing.T) {
	events.Kinds()[0].Type = "changed.by.v1"
	require.Equal(t, events.TypeRunStarted, events.Kinds()[0].Type)
}

func TestUnknownType(t *testing.T) {
	_, ok := events.KindOf("run.paused.v1")
	require.False(t, ok)
	_, err := events.SubjectOf("run.paused.v1", "m")
	require.ErrorIs(t, err, events.ErrUnknownType)
	require.Panics(t, func() { events.WildcardOf("run.paused.v1") })
}

func TestToken(t *testing.T) {
	for _, tt := range []struct{ name, model, token string }{
		{"plain", "telco-churn", "telco-churn"},
		{"all plain letters", "aZ09_-", "aZ09_-"},
		{"longest plain", strings.Repeat("m", events.MaxModelName), strings.Repeat("m", events.MaxModelName)},
		{"space", "a b", "=YSBi"},
		{"dot", "a.b", "=YS5i"},
		{"wildcards", "*>", "=Kj4"},
		{"an equals sign", "=YSBi", "=PVlTQmk"},
		{"bytes that need the URL alphabet", "\xfb\xff", "=-_8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := events.Token(tt.model)
			require.NoError(t, err)
			require.Equal(t, tt.token, token)
			require.Equal(t, tt.model == token, events.PlainName(tt.model))
			back, err := events.FromToken(token)
			require.NoError(t, err)
			require.Equal(t, tt.model, back)
		})
	}
	for _, model := range []string{"", strings.Repeat("m", events.MaxModelName+1), strings.Repeat("ü", events.MaxModelName/2) + "x"} {
		_, err := events.Token(model)
		require.ErrorIs(t, err, events.ErrInvalid, "%d bytes", len(model))
	}
}

func TestFromTokenRefuses(t *testing.T) {
	for _, tt := range []struct{ name, token string }{
		{"empty", ""},
		{"no name in it", "="},
		{"neither plain nor encoded", "a b"},
		{"not base64", "=a*b"},
		{"padded", "=YSBiYw=="},
		{"a plain name encoded", "=dGVsY28"},
		{"spare bits set", "=YSBj" + "Yf"},
		{"a line break inside", "=YS\nBi"},
		{"too long", "=" + strings.Repeat("w7w", 100)},
		{"plain and too long", strings.Repeat("m", events.MaxModelName+1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, err := events.FromToken(tt.token)
			require.ErrorIs(t, err, events.ErrInvalid, "read as %q", name)
		})
	}
}

// Every name has one token, every token one name, and a token can stand in a subject.
func FuzzToken(f *testing.F) {
	for _, n := range names {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if token, err := events.Token(s); err == nil {
			require.Regexp(t, `^=?[A-Za-z0-9_-]+$`, token)
			back, err := events.FromToken(token)
			require.NoError(t, err)
			require.Equal(t, s, back)
		} else {
			require.ErrorIs(t, err, events.ErrInvalid)
			require.True(t, s == "" || len(s) > events.MaxModelName, "%q has no token", s)
		}
		if name, err := events.FromToken(s); err == nil {
			token, err := events.Token(name)
			require.NoError(t, err)
			require.Equal(t, s, token)
		}
	})
}
