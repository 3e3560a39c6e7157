package main

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
)

// An instance that is killed or overloaded costs no record: it is asked again with the same id, and answers stay in the order of the records. What is
// final is told with the record's number.
func TestPredictAsksAgain(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	nc := srv.Connect(t).Conn()
	var tries atomic.Int32
	ids := make(chan string, 8)
	_, err := nc.Subscribe("predict.telco-churn", func(m *nats.Msg) {
		answer := &nats.Msg{Data: m.Data, Header: nats.Header{}}
		if string(m.Data) == "bad" {
			answer.Header.Set("Nats-Service-Error", "Unprocessable Entity")
			answer.Header.Set("Nats-Service-Error-Code", "422")
		}
		if string(m.Data) == "two" {
			ids <- m.Header.Get("Request-Id")
			switch tries.Add(1) {
			case 1: // killed with the request in its hands
				return
			case 2:
				answer.Header.Set("Nats-Service-Error", "Service Unavailable")
				answer.Header.Set("Nats-Service-Error-Code", "503")
			}
		}
		require.NoError(t, m.RespondMsg(answer))
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	var out, errs bytes.Buffer
	err = command(t.Context(), "one\ntwo\nbad\nthree\n", &out, &errs, "predict", "--nats", srv.URL(), "--timeout", "10s")
	require.ErrorContains(t, err, "1 request(s) failed")
	require.Equal(t, "one\ntwo\nthree\n", out.String())
	require.Contains(t, errs.String(), "record 3: 422 Unprocessable Entity")
	first := <-ids
	require.NotEmpty(t, first)
	require.Equal(t, []string{first, first}, []string{<-ids, <-ids})
	require.Equal(t, 1, strings.Count(errs.String(), "\n"))
}
