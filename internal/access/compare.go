package access

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	// rememberRight and rememberWrong are how long a comparison's outcome is remembered, remembered how many of each.
	rememberRight = 10 * time.Minute
	rememberWrong = time.Minute
	remembered    = 1024
	// compareWait is how long a login waits for its turn.
	compareWait = 5 * time.Second
)

// attempt is a name and password to be checked. Without a hash the decoy is compared, which never matches, so that the time doesn't tell who
// has a password; without a decoy nobody has one.
type attempt struct {
	name, password string
	hash, decoy    []byte
	from           string // the client's address
}

// comparer compares passwords with bcrypt hashes, few at a time and one for each address, and remembers the outcomes.
type comparer struct {
	key   []byte // of the keyed hash; new in every process
	turns chan struct{}

	mu           sync.Mutex
	right, wrong *memory
	waiting      map[string]*address
}

// address is the turn of one client address.
type address struct {
	turn chan struct{}
	n    int // who holds or waits for it
}

func newComparer(now func() time.Time) *comparer {
	c := &comparer{
		key: make([]byte, 32), turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), waiting: map[string]*address{},
		right: newMemory(rememberRight, now), wrong: newMemory(rememberWrong, now),
	}
	_, _ = rand.Read(c.key) // never fails
	return c
}

// matches reports whether the password is the hash's. The error is errBusy or the context's.
func (c *comparer) matches(ctx context.Context, a attempt) (bool, error) {
	if a.hash == nil && a.decoy == nil {
		return false, nil
	}
	id := c.id(a)
	if outcome, known := c.recall(id); known {
		return outcome, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, compareWait, errBusy)
	defer cancel()
	release, err := c.wait(ctx, a.from)
	if err != nil {
		return false, err
	}
	defer release()
	if outcome, known := c.recall(id); known { // while it waited
		return outcome, nil
	}
	hash := a.hash
	if hash == nil {
		hash = a.decoy
	}
	ok := bcrypt.CompareHashAndPassword(hash, []byte(a.password)) == nil && a.hash != nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		c.right.add(id)
	} else {
		c.wrong.add(id)
	}
	return ok, nil
}

// id is a keyed hash over everything that the outcome rests on, so that one who reads the memory can't look for the password in it.
func (c *comparer) id(a attempt) [sha256.Size]byte {
	mac := hmac.New(sha256.New, c.key)
	for _, part := range []string{a.name, a.password, string(a.hash)} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return [sha256.Size]byte(mac.Sum(nil))
}

func (c *comparer) recall(id [sha256.Size]byte) (outcome, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.right.has(id) {
		return true, true
	}
	return false, c.wrong.has(id)
}

// wait returns when it is the caller's turn: that of its address first, so that one address never has more than one place among all.
func (c *comparer) wait(ctx context.Context, from string) (release func(), err error) {
	c.mu.Lock()
	own := c.waiting[from]
	if own == nil {
		own = &address{turn: make(chan struct{}, 1)}
		c.waiting[from] = own
	}
	own.n++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if own.n--; own.n == 0 {
			delete(c.waiting, from)
		}
	}
	select {
	case own.turn <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
	select {
	case c.turns <- struct{}{}:
	case <-ctx.Done():
		<-own.turn
		leave()
		return nil, context.Cause(ctx)
	}
	return func() {
		<-c.turns
		<-own.turn
		leave()
	}, nil
}

// memory is a bounded set of hashes, each for a while; the one that was asked for longest ago goes first.
type memory struct {
	keep  time.Duration
	now   func() time.Time
	order *list.List // of entries, the latest in front
	byID  map[[sha256.Size]byte]*list.Element
}

type entry struct {
	id  [sha256.Size]byte
	end time.Time
}

func newMemory(keep time.Duration, now func() time.Time) *memory {
	return &memory{keep: keep, now: now, order: list.New(), byID: map[[sha256.Size]byte]*list.Element{}}
}

func (m *memory) has(id [sha256.Size]byte) bool {
	e := m.byID[id]
	if e == nil {
		return false
	}
	if !m.now().Before(e.Value.(entry).end) {
		m.drop(e)
		return false
	}
	m.order.MoveToFront(e)
	return true
}

func (m *memory) add(id [sha256.Size]byte) {
	if e := m.byID[id]; e != nil {
		m.drop(e)
	}
	m.byID[id] = m.order.PushFront(entry{id: id, end: m.now().Add(m.keep)})
	if m.order.Len() > remembered {
		m.drop(m.order.Back())
	}
}

func (m *memory) drop(e *list.Element) {
	delete(m.byID, m.order.Remove(e).(entry).id)
}
