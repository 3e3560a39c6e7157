package drift

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// obs is one evaluation: o over, u under the clearing threshold, b between, - too few rows. A digit before it is the version from there on.
func run(t *testing.T, script string, each time.Duration) (states, changes string) {
	t.Helper()
	var s columnState
	s.state = events.StateOK
	version, former := 1, 0
	now := time.Unix(0, 0)
	for _, r := range script {
		if r >= '1' && r <= '9' {
			version = int(r - '0')
			continue
		}
		now = now.Add(each)
		v := verdict{enough: r != '-', over: r == 'o', under: r == 'u', version: version, renewed: former != 0 && former != version, now: now,
			consecutive: 3, repeat: 24 * time.Hour}
		var ch change
		s, ch = s.next(v)
		former = version
		states += map[events.ColumnState]string{events.StateOK: ".", events.StatePending: "p", events.StateFiring: "F", events.StateInsufficient: "?"}[s.state]
		changes += map[change]string{changeNone: " ", changeAlert: "A", changeRepeat: "R", changeCleared: "C"}[ch]
	}
	return states, changes
}

func TestColumnState(t *testing.T) {
	for _, c := range []struct {
		name, script, states, changes string
		each                          time.Duration
	}{
		{"quiet", "uubu", "....", "    ", time.Minute},
		{"too few rows", "--u-u", "??.?.", "     ", time.Minute},
		{"three in a row fire", "uooou", ".ppF.", "   AC", time.Minute},
		{"two are not enough", "oouoob", "pp.pp.", "      ", time.Minute},
		{"between the thresholds it keeps firing", "ooobbbu", "ppFFFF.", "  A   C", time.Minute},
		{"between the thresholds is not over", "oobo", "pp.p", "    ", time.Minute},
		{"too few rows break a row", "oo-o", "pp?p", "    ", time.Minute},
		{"too few rows end nothing", "ooo--u", "ppFFF.", "  A  C", time.Minute},
		{"it repeats every repeat", "oooooo", "ppFFFF", "  A R ", 12 * time.Hour},
		{"it repeats between the thresholds too", "ooobb", "ppFFF", "  ARR", 24 * time.Hour},
		{"it can fire again", "oooouooo", "ppFF.ppF", "  A C  A", time.Minute},
		{"a new version clears", "ooo2u", "ppF.", "  AC", time.Minute},
		{"a new version starts again", "ooo2ooo", "ppFppF", "  A  A", time.Minute},
		{"a new version's alert stays open until it is under", "ooo2obbu", "ppFppp.", "  A   C", time.Minute},
		{"a new version between the thresholds", "ooo2bbooo", "ppFppppF", "  A    A", time.Minute},
		{"a new version with too few rows is judged later", "ooo2--u", "ppFFF.", "  A  C", time.Minute},
		{"a new version with too few rows starts again later", "ooo2--ooo", "ppFFFppF", "  A    A", time.Minute},
		{"a new version does not repeat the old one's alert", "ooo2-", "ppFF", "  A ", 24 * time.Hour},
		{"a row does not run over a new version", "oo2oo", "pppp", "    ", time.Minute},
		{"back to the version that was alerted", "ooo2b1ooo", "ppFpppF", "  A   A", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			states, changes := run(t, c.script, c.each)
			require.Equal(t, c.states, states, c.script)
			require.Equal(t, c.changes, changes, c.script)
		})
	}
}

// Whatever happens, alerts and clearings alternate per open alert, and a clearing follows an alert.
func TestColumnStateNeverClearsWhatDidNotFire(t *testing.T) {
	const letters = "oub-12"
	var walk func(script string, depth int)
	walk = func(script string, depth int) {
		if depth == 0 {
			_, changes := run(t, script, time.Hour)
			open := false
			for _, ch := range changes {
				switch ch {
				case 'A':
					open = true
				case 'C':
					require.True(t, open, "%s gives %q", script, changes)
					open = false
				}
			}
			return
		}
		for _, l := range letters {
			walk(script+string(l), depth-1)
		}
	}
	walk("ooo", 5)
}

func TestStreakOfDisjointEvaluations(t *testing.T) {
	s := columnState{state: events.StateOK}
	v := func(first, last uint64, over bool) change {
		var ch change
		s, ch = s.next(verdict{enough: true, over: over, under: !over, version: 1, first: first, sequence: last, consecutive: 2, repeat: time.Hour})
		return ch
	}
	require.Equal(t, changeNone, v(1, 100, true))
	require.Equal(t, changeNone, v(51, 150, true), "shares rows with the first")
	require.Equal(t, 1, s.streak)
	require.Equal(t, changeNone, v(100, 199, true), "shares row 100")
	require.Equal(t, changeAlert, v(101, 200, true))
	require.Equal(t, changeCleared, v(102, 201, false))
	require.Equal(t, changeNone, v(301, 400, true), "a new streak begins at one")
	require.Equal(t, changeNone, v(302, 401, false))
	require.Equal(t, changeNone, v(501, 600, true), "and is broken by one that is not over")
}
