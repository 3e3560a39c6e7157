package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/internal/artifact"
)

const (
	// requestTimeout is how long one request waits for its answer before it counts as lost.
	requestTimeout = 2 * time.Second
	firstBackoff   = 50 * time.Millisecond
	maxBackoff     = time.Second
)

// retry calls f until it succeeds, fails for a reason that waiting doesn't cure, or RetryFor or ctx end. It returns f's last
// error, joined with the context's if that ended it.
func (s *Store) retry(ctx context.Context, f func(context.Context) error) error {
	deadline := time.Now().Add(s.cfg.RetryFor)
	for wait := firstBackoff; ; wait = min(2*wait, maxBackoff) {
		err := f(ctx)
		if err == nil || !unanswered(err) || time.Now().Add(wait).After(deadline) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
	}
}

// unanswered reports whether err says that a request was lost or that the server can't decide just now, rather than what it decided.
func unanswered(err error) bool {
	for _, lost := range []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		jetstream.ErrNoStreamResponse, jetstream.ErrTooManyStalledMsgs, errRequestTimeout,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	// 503 is no leader or JetStream not up yet, and also a store that is full.
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 503 && !slices.Contains(full, api.ErrorCode)
}

// full are the codes for no room: of the server's memory or cluster (10023), of its disk (10047), and of the stream (10077).
var full = []jetstream.ErrorCode{10023, 10047, 10077}

// noRoom reports whether the server has no room left to promise.
func noRoom(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains(full, api.ErrorCode)
}

// errRequestTimeout is one request's time being up, while the caller's is not.
var errRequestTimeout = errors.New("no answer in time")

// request runs f with the time limit of one request.
func request(ctx context.Context, f func(context.Context) error) error {
	own, cancel := context.WithTimeoutCause(ctx, requestTimeout, errRequestTimeout)
	defer cancel()
	err := f(own)
	if err != nil && ctx.Err() == nil && own.Err() != nil {
		return fmt.Errorf("%w: %w", errRequestTimeout, err)
	}
	return err
}

// meta is the last message under an object's name: which chunks belong to it. The zero value is an object that never was.
type meta struct {
	info jetstream.ObjectInfo
	seq  uint64
	at   time.Time // when it was stored, by the server's clock
	// junk is set when the message can't be decoded; it counts as a damaged object.
	junk error
}

func (m meta) exists() bool { return m.seq != 0 && !m.info.Deleted }

// check returns ErrCorrupt if the object is not described as d.
func (m meta) check(d artifact.Digest) error {
	switch {
	case m.junk != nil:
		return fmt.Errorf("%w: %w", artifact.ErrCorrupt, m.junk)
	case m.info.Digest != wireDigest(d):
		return fmt.Errorf("%w: recorded as %.80q", artifact.ErrCorrupt, m.info.Digest)
	case m.info.NUID == "" || strings.ContainsAny(m.info.NUID, ". *>\t\r\n"):
		return fmt.Errorf("%w: chunk name %.80q", artifact.ErrCorrupt, m.info.NUID)
	case int64(m.info.Size) < 0:
		return fmt.Errorf("%w: size %d", artifact.ErrCorrupt, m.info.Size)
	}
	return nil
}

// wireDigest is d as the object store writes it; d must be valid.
func wireDigest(d artifact.Digest) string {
	b, err := hex.DecodeString(d.Hex())
	if err != nil || len(b) != sha256.Size {
		panic("objstore: digest used before it was validated: " + string(d))
	}
	return "SHA-256=" + base64.URLEncoding.EncodeToString(b)
}

func (s *Store) metaSubject(d artifact.Digest) string {
	return "$O." + s.cfg.Bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(d.Hex()))
}

// readMeta asks the stream's leader, as a replica that lags would say that a new object doesn't exist.
func (s *Store) readMeta(ctx context.Context, d artifact.Digest) (meta, error) {
	if err := d.Validate(); err != nil {
		return meta{}, err
	}
	msg, err := s.leaderGet(ctx, getRequest{LastBySubject: s.metaSubject(d)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return meta{}, nil
	}
	if err != nil {
		return meta{}, fmt.Errorf("read object info: %w", err)
	}
	return decodeMeta(msg), nil
}

func decodeMeta(msg message) meta {
	m := meta{seq: msg.Seq, at: msg.Time}
	if err := json.Unmarshal(msg.Data, &m.info); err != nil {
		m.info, m.junk = jetstream.ObjectInfo{}, fmt.Errorf("decode object info: %w", err)
	}
	return m
}

// getRequest and getResponse are the wire form of the server's STREAM.MSG.GET. The client library asks any replica where the
// stream allows that, as object stores do, so requests that must see the last write are made here.
type getRequest struct {
	Seq           uint64 `json:"seq,omitempty"`
	LastBySubject string `json:"last_by_subj,omitempty"`
	NextBySubject string `json:"next_by_subj,omitempty"`
}

type getResponse struct {
	Error   *jetstream.APIError `json:"error"`
	Message *message            `json:"message"`
}

type message struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

// apiPrefix is where the JetStream API is for the domain or import that js was made with.
func (s *Store) apiPrefix() string {
	opts := s.js.Options()
	switch {
	case opts.Domain != "":
		return "$JS." + opts.Domain + ".API."
	case opts.APIPrefix != "":
		return strings.TrimSuffix(opts.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
}

// leaderGet returns a message as the stream's leader has it, or jetstream.ErrMsgNotFound.
func (s *Store) leaderGet(ctx context.Context, req getRequest) (message, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return message{}, fmt.Errorf("encode request: %w", err)
	}
	var reply *nats.Msg
	err = request(ctx, func(ctx context.Context) error {
		reply, err = s.js.Conn().RequestWithContext(ctx, s.apiPrefix()+"STREAM.MSG.GET."+s.streamName(), body)
		return err
	})
	if err != nil {
		return message{}, err
	}
	var resp getResponse
	if err := json.Unmarshal(reply.Data, &resp); err != nil {
		return message{}, fmt.Errorf("decode reply: %w", err)
	}
	switch {
	case resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return message{}, jetstream.ErrMsgNotFound
	case resp.Error != nil:
		return message{}, resp.Error
	case resp.Message == nil:
		return message{}, errors.New("decode reply: neither message nor error")
	}
	return *resp.Message, nil
}
