package console

import (
	"net"
	"net/http"
	"sync"

	"telco-churn-mlops/internal/access"
)

const (
	// feedsOpen bounds the live feeds; each holds a reader of every stream. feedsEach bounds those of one user, or of one address where
	// there are no users, so that nobody takes all of them.
	feedsOpen = 64
	feedsEach = 16
)

// seats counts the open feeds. The zero value is ready for use, also by several at once.
type seats struct {
	mu  sync.Mutex
	all int
	by  map[string]int
}

// take returns how to give the seat back, once, and false if there is none left for who.
func (s *seats) take(who string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= feedsOpen || s.by[who] >= feedsEach {
		return nil, false
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.all++
	s.by[who]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[who]--; s.by[who] == 0 {
			delete(s.by, who)
		}
	}, true
}

// sitter is whom a feed is counted for.
func sitter(r *http.Request) string {
	if who := access.From(r.Context()); who.Name != "" && who.Name != access.Anonymous {
		return "user " + who.Name
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "address " + host
}
