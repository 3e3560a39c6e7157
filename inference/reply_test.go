package inference

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"
)

// asked is a request over NATS as far as its body and headers go.
type asked struct {
	micro.Request
	data    string
	headers micro.Headers
}

func (a asked) Data() []byte           { return []byte(a.data) }
func (a asked) Headers() micro.Headers { return a.headers }

func TestTheRequestIdGoesBeforeItsOtherName(t *testing.T) {
	for range 20 { // in every order of a map
		var rq request
		require.Nil(t, natsHeaders(micro.Headers{"x-request-id": {"not one"}, "request-id": {"mine"}}, &rq, time.Time{}))
		require.Equal(t, "mine", rq.id)
	}
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
		"a long record":           {asked{data: `{"a":"` + string(make([]byte, shortBody)) + `"}`}, false},
		"an explanation":          {asked{data: `{"a":1}`, headers: micro.Headers{"eXplain": {"true"}}}, false},
	} {
		require.Equal(t, tc.single, single(job{request: tc.request}), name)
	}
}
