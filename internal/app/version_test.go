package app

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionSources(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "true"}}
	for _, tc := range []struct {
		name, linked, want string
		info               *debug.BuildInfo
	}{
		{name: "nothing known", want: "devel"},
		{name: "linked wins", linked: "v1.2.3", want: "v1.2.3", info: &debug.BuildInfo{Main: debug.Module{Version: "v9"}}},
		{name: "module version", want: "v0.3.0", info: &debug.BuildInfo{Main: debug.Module{Version: "v0.3.0"}}},
		{name: "commit", want: "0123456789ab+dirty", info: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: commit}},
		{name: "clean commit", want: "0123456789ab", info: &debug.BuildInfo{Settings: commit[:1]}},
		{name: "no version control", want: "devel", info: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, versionOf(tc.linked, tc.info)) })
	}
	require.NotEmpty(t, Version())
}
