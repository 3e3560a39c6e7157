package artifact

import (
	"context"
	"errors"
	"time"
)

// RefreshAfter is the age from which on a Put of content that is stored already makes the object young again, so that who collects garbage
// by age can't take it between the put and the event that names it. Whoever deletes by age must therefore leave a good deal more
// than this; see MinDeleteAge.
const RefreshAfter = 3 * 24 * time.Hour

// MinDeleteAge is the least age at which an object may be deleted by Deleter. The difference to RefreshAfter is what clocks may differ by and
// what an upload and its event may lie apart.
const MinDeleteAge = 7 * 24 * time.Hour

// ErrRecent is returned by Delete for an object that was stored, or stored again, after the given time. It is still there.
var ErrRecent = errors.New("artifact stored again")

// Lister is a Store that can say what it holds. Every store of this project is one.
type Lister interface {
	// List calls fn for each object, in no order, with the time of the last Put that stored it or made it young. Objects that come or
	// go meanwhile may be missing or listed; damaged ones are listed. An error of fn ends it and is returned unchanged.
	List(ctx context.Context, fn func(ref Ref, modified time.Time) error) error
}

// Deleter is a Store that can give up an object. Every store of this project is one.
type Deleter interface {
	// Delete removes the object unless it was stored, or stored again, after unlessNewer, which is ErrRecent. The store decides that
	// in one step with the removal, so that of a Put and a Delete at the same time either the Put's object stays or the Put stores
	// it after the removal; a Put that has returned is never undone by an unlessNewer before it. ErrNotFound if there is none.
	Delete(ctx context.Context, d Digest, unlessNewer time.Time) error
}

// Presigner is a Store whose objects a client can fetch by itself.
type Presigner interface {
	// Presign returns a URL under which anybody can download the object until expires has passed, as a file called name. It does
	// not look whether the object is there. The URL holds a signature: it doesn't belong into a log.
	Presign(ctx context.Context, d Digest, name string, expires time.Duration) (url string, err error)
}
