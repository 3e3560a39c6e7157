package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
)

const (
	// tryTimeout bounds one request to JetStream; the retries are bounded by the caller's context.
	tryTimeout = 3 * time.Second
	retryFirst = 50 * time.Millisecond
	retryLimit = 2 * time.Second
)

type apiMessage struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

// getRequest asks a stream's leader for one message: by sequence, the last of a subject, or the first of a subject at or after Seq or a time.
type getRequest struct {
	Seq     uint64 `json:"seq,omitempty"`
	LastFor string `json:"last_by_subj,omitempty"`
	NextFor string `json:"next_by_subj,omitempty"`
	// Since stands in place of Seq, with NextFor: the first of a subject stored at or after a time.
	Since *time.Time `json:"start_time,omitempty"`
}

// retry calls try until it succeeds, fails with an error that is not transient, or ctx ends. Each try has a bound of its own.
func (b *Bus) retry(ctx context.Context, try func(context.Context) error) error {
	for n := uint64(1); ; n++ {
		one, cancel := context.WithTimeout(ctx, tryTimeout)
		unhook := b.OnReconnect(cancel) // the answer was lost with the old connection
		err := try(one)
		unhook()
		cancel()
		if err == nil || !transient(err) {
			return err
		}
		if n == alarmAfter {
			what := "JetStream does not answer, still trying"
			if api := (*jetstream.APIError)(nil); errors.As(err, &api) {
				what = "JetStream refuses, still trying" // a full stream, an election
			}
			b.log.Error(what, "connected", b.nc.IsConnected(), "err", err)
		}
		if !pause(ctx, backoff(n, retryFirst, retryLimit)) {
			return fmt.Errorf("%w (last try: %w)", context.Cause(ctx), err)
		}
	}
}

// api sends one request to JetStream. These requests are answered by the leader of the stream, never by a replica that lags.
func (b *Bus) api(ctx context.Context, subject string, req, resp any) error {
	data, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	msg, err := b.nc.RequestWithContext(ctx, "$JS.API."+subject, data)
	if err != nil {
		return err
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &failed); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	if err := json.Unmarshal(msg.Data, resp); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// getOnce reads one message through the leader; false means that there is none.
func (b *Bus) getOnce(ctx context.Context, s events.Stream, req getRequest) (Message, bool, error) {
	var resp struct {
		Message *apiMessage `json:"message"`
	}
	err := b.api(ctx, "STREAM.MSG.GET."+string(s), req, &resp)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return Message{}, false, nil
	}
	if err != nil {
		return Message{}, false, err
	}
	if resp.Message == nil {
		return Message{}, false, errors.New("answer without a message")
	}
	var header nats.Header
	if len(resp.Message.Header) > 0 {
		if header, err = nats.DecodeHeadersMsg(resp.Message.Header); err != nil {
			header = nil // whoever stored it wrote junk; the data may still be read by its subject
		}
	}
	m := newMessage(s, resp.Message.Subject, header, resp.Message.Data)
	m.Sequence, m.Time = resp.Message.Seq, resp.Message.Time
	return m, true, nil
}

// get is getOnce with retries until ctx ends.
func (b *Bus) get(ctx context.Context, s events.Stream, req getRequest) (m Message, ok bool, err error) {
	err = b.retry(ctx, func(ctx context.Context) error {
		m, ok, err = b.getOnce(ctx, s, req)
		return err
	})
	return m, ok, err
}

// streamInfo is what the leader says of a stream.
type streamInfo struct {
	Created time.Time             `json:"created"`
	State   jetstream.StreamState `json:"state"`
}

func (b *Bus) infoOnce(ctx context.Context, s events.Stream) (streamInfo, error) {
	var info streamInfo
	err := b.api(ctx, "STREAM.INFO."+string(s), struct{}{}, &info)
	return info, err
}
