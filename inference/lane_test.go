package inference

import (
	"testing"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"
)

// asked is a request over NATS as far as a lane looks at it.
type asked struct {
	micro.Request
	data    string
	headers micro.Headers
}

func (a asked) Data() []byte           { return []byte(a.data) }
func (a asked) Headers() micro.Headers { return a.headers }

func TestALaneSharesWhatPilesUp(t *testing.T) {
	const bound = 8
	l := newLane(&replyPool{service: &Service{cfg: Config{InFlight: bound}}}, 0)
	look := func(waiting int) {
		l.inline, l.looks, l.longest = 0, bound, 0
		for range bound - 1 {
			l.look(0)
			require.Zero(t, l.inline, "a look takes as many requests as may be in flight")
		}
		l.look(waiting)
	}
	want := laneFirst
	for range 10 { // nobody waits: looked at less and less often
		look(0)
		require.Equal(t, want, l.inline)
		want = min(2*want, laneMost)
	}
	for range 3 {
		look(bound)
		require.Zero(t, l.inline, "the workers go on")
		require.Equal(t, bound, l.looks, "and are looked at again")
	}
	look(0)
	require.Equal(t, laneFirst, l.inline, "when it is over, it begins with little")
}

func TestWhatTakesLongIsForWorkers(t *testing.T) {
	for name, tc := range map[string]struct {
		request asked
		single  bool
	}{
		"a record":                {asked{data: `{"a":1}`}, true},
		"a record with a request": {asked{data: `{"a":1}`, headers: micro.Headers{HeaderRequestID: {"x"}}}, true},
		"a list":                  {asked{data: `[{"a":1}]`}, false},
		"nothing":                 {asked{}, false},
		"a long record":           {asked{data: `{"a":"` + string(make([]byte, laneBody)) + `"}`}, false},
		"an explanation":          {asked{data: `{"a":1}`, headers: micro.Headers{"eXplain": {"true"}}}, false},
	} {
		require.Equal(t, tc.single, single(job{request: tc.request}), name)
	}
}
