package inference

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShorterErrorsCountWhatTheyDoNotName(t *testing.T) {
	refusal := func(named, more int) *RequestError {
		err := unprocessable(make([]Problem, named)...)
		err.More = more
		return err
	}
	err := shorter(refusal(600, 5))
	require.Equal(t, http.StatusUnprocessableEntity, err.Code)
	require.Len(t, err.Problems, fewFaults+1)
	require.Contains(t, err.Problems[fewFaults].Msg, "and 505 more faults")
	require.Zero(t, err.More)
	require.Contains(t, shorter(refusal(50, 0)).Text, "the request has 50 faults")
	require.Equal(t, http.StatusRequestEntityTooLarge, shorter(nil).Code)
}
