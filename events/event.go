package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrUnknownType is returned when a message's type or subject is none of [Kinds]. Retrying cannot help.
var ErrUnknownType = errors.New("unknown event type")

// ErrInvalid is returned when a message is of a known type but its name, headers or payload break the contract. Retrying cannot help.
var ErrInvalid = errors.New("invalid event")

// CloudEvents header names, and the two headers of NATS that carry meaning here.
const (
	HeaderSpecVersion = "ce-specversion"
	HeaderID          = "ce-id"
	HeaderType        = "ce-type"
	HeaderSource      = "ce-source"
	HeaderSubject     = "ce-subject"
	HeaderTime        = "ce-time"
	HeaderContentType = "content-type"
	HeaderMsgID       = "Nats-Msg-Id"
	HeaderScheduler   = "Nats-Scheduler"
	HeaderScheduleDue = "Nats-Schedule-Next"
)

// Payload is the data of one event type. Implementations are the structs of this package; their pointers implement it.
type Payload interface {
	// EventType returns the type with its version, for instance "run.completed.v1".
	EventType() Type
	// Validate returns an error that wraps ErrInvalid and names the field and the rule, or nil.
	Validate() error
}

// Event is one fact with its CloudEvents context.
type Event struct {
	// ID names the occurrence and is the message id of the publish. See [ID].
	ID string
	// Source says who published it, for instance "trainer/host-1".
	Source string
	// Model is the real model name; the subject carries its token. Of what MLflow clients log it is the run or other thing that the event is about.
	Model string
	// Time is when the fact was established by its publisher's clock, with nanoseconds, UTC. Stream order, not Time, orders events.
	Time time.Time
	// Payload is never nil in a decoded event.
	Payload Payload
}

// ID returns the event id "type/model/key". It must be unique for each occurrence: the key of a compare-and-set holds the
// sequence it expects, so that a later event with otherwise equal content is not swallowed as a duplicate.
func ID(t Type, model, key string) string { return string(t) + "/" + model + "/" + key }

// New returns an event whose id is [ID] of the payload's type, the model and key.
func New(model, source, key string, at time.Time, p Payload) Event {
	return Event{ID: ID(p.EventType(), model, key), Source: source, Model: model, Time: at.UTC(), Payload: p}
}

// Subject returns the subject that the event is published on.
func (e Event) Subject() (string, error) {
	k, ok := KindOf(e.Payload.EventType())
	if !ok {
		return "", fmt.Errorf("%w: %s", ErrUnknownType, e.Payload.EventType())
	}
	return k.Subject(e.Model)
}

// Encode validates the event and returns its subject, headers and data. The headers are those of CloudEvents' NATS binding in binary mode,
// percent-encoded where they must be, and Nats-Msg-Id. An event that cannot be written, for instance with a NaN in it, wraps [ErrInvalid].
func (e Event) Encode() (subject string, header map[string][]string, data []byte, err error) {
	if e.Payload == nil {
		return "", nil, nil, fmt.Errorf("%w: no payload", ErrInvalid)
	}
	if e.ID == "" || e.Source == "" {
		return "", nil, nil, fmt.Errorf("%s: %w: id and source are required", e.Payload.EventType(), ErrInvalid)
	}
	if err := e.Payload.Validate(); err != nil {
		return "", nil, nil, fmt.Errorf("%s: %w", e.Payload.EventType(), err)
	}
	if !writable(e.Time) {
		return "", nil, nil, fmt.Errorf("%s: %w: year %d of the event's time", e.Payload.EventType(), ErrInvalid, e.Time.UTC().Year())
	}
	if subject, err = e.Subject(); err != nil {
		return "", nil, nil, err
	}
	if data, err = marshal(e.Payload); err != nil {
		return "", nil, nil, fmt.Errorf("encode %s: %w: %w", e.Payload.EventType(), ErrInvalid, err)
	}
	header = map[string][]string{
		HeaderSpecVersion: {"1.0"},
		HeaderID:          {headerValue(e.ID)},
		HeaderType:        {string(e.Payload.EventType())},
		HeaderSource:      {headerValue(e.Source)},
		HeaderSubject:     {headerValue(e.Model)},
		HeaderTime:        {e.Time.UTC().Format(time.RFC3339Nano)},
		HeaderContentType: {"application/json"},
		HeaderMsgID:       {headerValue(e.ID)},
	}
	return subject, header, data, nil
}

// marshal is json.Marshal without escapes for HTML, which make six bytes of one: what clients log must fit into a message.
func marshal(p Payload) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Decode reads a message. The type comes from ce-type, or from the subject where the header is missing or the message is the tick of a
// schedule (whose headers are copies of the schedule's own). Both must agree otherwise. The model comes from the subject. The id of a message
// without ce-id and Nats-Msg-Id is empty: the caller knows its stream and sequence. The values of ce-* headers are percent-decoded once.
func Decode(subject string, header map[string][]string, data []byte) (Event, error) {
	kind, model, err := ParseSubject(subject)
	if err != nil {
		return Event{}, err
	}
	if t := headerText(first(header, HeaderType)); t != "" && first(header, HeaderScheduler) == "" && Type(t) != kind.Type {
		if _, known := KindOf(Type(t)); !known {
			return Event{}, fmt.Errorf("%w: %q on %s", ErrUnknownType, t, subject)
		}
		return Event{}, fmt.Errorf("%w: type %q on subject %s", ErrInvalid, t, subject)
	}
	e := Event{ID: headerText(first(header, HeaderID)), Source: headerText(first(header, HeaderSource)), Model: model, Payload: kind.New()}
	if e.ID == "" {
		e.ID = first(header, HeaderMsgID) // no CloudEvents attribute: whoever wrote no ce-id did not encode this either
	}
	if at := first(header, HeaderTime); at != "" {
		if e.Time, err = time.Parse(time.RFC3339Nano, headerText(at)); err != nil || !writable(e.Time) {
			return Event{}, fmt.Errorf("%s: %w: %s %q is not an RFC 3339 time", subject, ErrInvalid, HeaderTime, at)
		}
		e.Time = e.Time.UTC()
	}
	if run, ok := e.Payload.(*RunTracked); ok && readPlain(data, run) {
		return e.valid(subject)
	}
	e.Payload = kind.New()
	if err := json.Unmarshal(data, e.Payload); err != nil {
		return Event{}, fmt.Errorf("%s: %w: %s", subject, ErrInvalid, err.Error())
	}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) { // which Unmarshal takes for "leave it as it is"
		return Event{}, fmt.Errorf("%s: %w: the data is null", subject, ErrInvalid)
	}
	return e.valid(subject)
}

func (e Event) valid(subject string) (Event, error) {
	if err := e.Payload.Validate(); err != nil {
		return Event{}, fmt.Errorf("%s: %w", subject, err)
	}
	return e, nil
}

// ScheduleKey returns the key of a schedule's tick, which is the same for a tick that the server fired twice, and false for any other message.
func ScheduleKey(header map[string][]string) (string, bool) {
	s := first(header, HeaderScheduler)
	if s == "" {
		return "", false
	}
	return s + "@" + first(header, HeaderScheduleDue), true
}

// writable reports whether RFC 3339 has room for the year.
func writable(t time.Time) bool { y := t.UTC().Year(); return y >= 0 && y <= 9999 }
