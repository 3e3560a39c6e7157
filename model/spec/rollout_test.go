package spec_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

const small = `name: orders
columns:
  target: {name: late, positive: "1"}
  numeric: [{name: pieces}]
`

func TestRolloutIsLeftOutWhereItIsTheDefault(t *testing.T) {
	plain, err := spec.Parse([]byte(small))
	require.NoError(t, err)
	require.Equal(t, spec.DefaultRollout(), plain.Rollout)
	canonical, err := plain.Marshal()
	require.NoError(t, err)
	require.NotContains(t, string(canonical), "rollout")

	for _, same := range []string{"rollout: {}", "rollout: {plan: direct, watch: {}}", "rollout:\n  watch: {requests: 500, duration: 600s, score_psi: 0.250}"} {
		s, err := spec.Parse([]byte(small + same + "\n"))
		require.NoError(t, err, same)
		require.Equal(t, plain.Digest(), s.Digest(), same)
	}
	require.NotContains(t, string(mustMarshal(t, spec.Telco())), "rollout", "the Telco spec's digest is as it was before there were rollouts")
}

func TestRolloutIsKept(t *testing.T) {
	s, err := spec.Parse([]byte(small + "rollout:\n  plan: canary 5%->25.5 % ->   100%\n  watch: {requests: 1000, duration: 1d, p95_floor: 2ms}\n"))
	require.NoError(t, err)
	require.Equal(t, spec.Plan("canary 5% -> 25.5% -> 100%"), s.Rollout.Plan)
	shares, err := s.Rollout.Plan.Shares()
	require.NoError(t, err)
	require.Equal(t, []float64{0.05, 0.255, 1}, shares)
	require.Equal(t, 24*time.Hour, s.Rollout.Watch.Duration)
	require.Equal(t, 300, s.Rollout.Watch.MinRows, "the default stays")

	canonical, err := s.Marshal()
	require.NoError(t, err)
	require.Contains(t, string(canonical), "rollout:\n  plan: \"canary 5% -> 25.5% -> 100%\"\n  watch:\n    requests: 1000\n    duration: 24h0m0s\n    p95_floor: 2ms\n")
	again, err := spec.Parse(canonical)
	require.NoError(t, err)
	require.Equal(t, s, again)
	require.NotEqual(t, mustParse(t, small).Digest(), s.Digest())
}

func mustParse(t *testing.T, text string) *spec.Spec {
	t.Helper()
	s, err := spec.Parse([]byte(text))
	require.NoError(t, err)
	return s
}

func TestRolloutFaultsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"plan: blue-green":               `line 6: rollout.plan: want direct, or shares such as "canary 5% -> 25% -> 100%", got "blue-green"`,
		"plan: canary":                   "rollout.plan: want direct",
		"plan: canary5% -> 100%":         "rollout.plan: want direct",
		"plan: canary 5 -> 100%":         `rollout.plan: want a share such as 5%, got "5"`,
		"plan: canary 25% -> 5% -> 100%": "rollout.plan: shares must grow, 5% does not",
		"plan: canary 0% -> 100%":        "rollout.plan: want a share above 0% and up to 100%, got 0%",
		"plan: canary 5% -> 120%":        "up to 100%, got 120%",
		"plan: canary NaN% -> 100%":      "want a share such as 5%",
		"plan: canary 5% -> 25%":         "rollout.plan: the last share must be 100%, which is the promotion",
		"plan: canary 100%":              "rollout.plan: a canary needs a share below 100%: for none write direct",
		"watch: {requests: 0}":           "line 6: rollout.watch.requests: want 1 to",
		"watch: {requests: 100}":         "rollout.watch.min_rows: 300 rows are more than the 100 requests that end a step",
		"watch: {duration: 0s}":          "rollout.watch.duration: want at least 1ms",
		"watch: {error_ratio: 2}":        "rollout.watch.error_ratio: want 0 to 1, got 2",
		"watch: {p95_ratio: 0.5}":        "rollout.watch.p95_ratio: want 1 to",
		"watch: {score_psi: -1}":         "rollout.watch.score_psi: want 0 to 100",
		"watch: {f1_drop: 1.5}":          "rollout.watch.f1_drop: want 0 to 1",
		"watch: {psi: 1}":                "rollout.watch.psi: unknown key",
		"plan: canary 1% -> " + many(20): "rollout.plan: has 21 shares, more than 20",
	} {
		_, err := spec.Parse([]byte(small + "rollout:\n  " + text + "\n"))
		require.ErrorContains(t, err, want, text)
	}
}

// many returns n growing shares with arrows between them, the last 100%.
func many(n int) string {
	steps := make([]string, n)
	for i := range steps {
		steps[i] = fmt.Sprintf("%d%%", 2+i)
	}
	steps[n-1] = "100%"
	return strings.Join(steps, " -> ")
}

func mustMarshal(t *testing.T, s *spec.Spec) []byte {
	t.Helper()
	data, err := s.Marshal()
	require.NoError(t, err)
	return data
}

func TestAWatchWithValues(t *testing.T) {
	usual := spec.DefaultRollout().Watch
	w, err := usual.With(map[string]string{"requests": "1000", "duration": "1d", "score_psi": "0.5"})
	require.NoError(t, err)
	want := usual
	want.Requests, want.Duration, want.ScorePSI = 1000, 24*time.Hour, 0.5
	require.Equal(t, want, w)
	_, err = usual.With(map[string]string{"psi": "1", "duration": "soon", "requests": "many"})
	require.ErrorContains(t, err, "rollout.watch.psi: unknown key, want one of: requests, duration, min_rows, error_ratio, p95_ratio, p95_floor, score_psi, f1_drop")
	require.ErrorContains(t, err, `rollout.watch.duration: want a duration like 30s, 24h or 7d, got "soon"`)
	require.ErrorContains(t, err, `rollout.watch.requests: want a whole number, got "many"`)
	_, err = usual.With(map[string]string{"requests": "10"})
	require.ErrorContains(t, err, "rollout.watch.min_rows")
}
