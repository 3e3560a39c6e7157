package inference

// Ask answers a body as a client is answered, without a transport in between: the whole engine, with metrics and prediction log. It appends the
// answer's bytes to dst and returns the status. Safe for concurrent use; a good single record allocates nothing but what dst grows by. It takes no
// place among the requests in flight: how many callers there are is the process's own affair.
func (s *Service) Ask(dst, body []byte) (out []byte, code int) {
	a := newAnswer()
	defer a.release()
	s.answer(&request{body: body, transport: transportHTTP}, a)
	return append(dst, a.body...), a.code
}
