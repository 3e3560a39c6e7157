package main

import (
	"errors"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// serveFastHTTP is the same as serveNetHTTP on the server that the instance is built on.
func serveFastHTTP(t task, until func(ready) error) error {
	answer := answerOf(t.Bytes)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &fasthttp.Server{ReadTimeout: time.Minute, NoDefaultServerHeader: true, Handler: func(c *fasthttp.RequestCtx) {
		_ = c.Request.Body()
		c.SetContentType("application/json")
		c.SetBody(answer)
	}}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	err = until(ready{URL: "http://" + ln.Addr().String()})
	return errors.Join(err, s.Shutdown(), <-ended)
}
