package events_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// names are model names of several scripts, with what headers and subjects cannot hold.
var names = []string{"telco-churn", "A_b-9", "telco churn", " edge ", "a.b.*.>", "100%", `"quoted"`, "Überlauf", "日本語のモデル", "модель", "👩‍🔬", "a\x00\r\nb",
	"=dGVsY28", "\xff\xfe", strings.Repeat("ü", events.MaxModelName/2)}

func encode(t testing.TB, e events.Event) (string, map[string][]string, []byte) {
	t.Helper()
	subject, header, data, err := e.Encode()
	require.NoError(t, err)
	return subject, header, data
}

func TestEveryTypeRoundTrips(t *testing.T) {
	for _, k := range events.Kinds() {
		for _, model := range names {
			e := events.New(model, "trainer/höst 1", "key with % and \"", noon.In(time.FixedZone("", 3600)), sample(t, k.Type))
			subject, header, data := encode(t, e)
			require.Len(t, strings.Split(subject, "."), 3, subject)
			require.True(t, strings.HasPrefix(subject, k.Prefix()+"."), subject)
			for name, values := range header {
				require.Len(t, values, 1, name)
				require.Regexp(t, `^[!-~]+$`, values[0], "header %s of model %q", name, model)
			}
			require.Equal(t, string(k.Type), header[events.HeaderType][0])
			require.Equal(t, header[events.HeaderID], header[events.HeaderMsgID])

			back, err := events.Decode(subject, header, data)
			require.NoError(t, err, "%s of %q", k.Type, model)
			require.Equal(t, e, back, "%s of %q", k.Type, model)
		}
	}
}

func TestHeadersFollowCloudEvents(t *testing.T) {
	_, header, _ := encode(t, events.New("Ü %\"", "s 1", "k", noon, sample(t, events.TypeRetrainRequested)))
	require.Equal(t, map[string][]string{
		events.HeaderSpecVersion: {"1.0"},
		events.HeaderID:          {"retrain.requested.v1/%C3%9C%20%25%22/k"},
		events.HeaderType:        {"retrain.requested.v1"},
		events.HeaderSource:      {"s%201"},
		events.HeaderSubject:     {"%C3%9C%20%25%22"},
		events.HeaderTime:        {"2026-03-01T12:00:00.123456789Z"},
		events.HeaderContentType: {"application/json"},
		events.HeaderMsgID:       {"retrain.requested.v1/%C3%9C%20%25%22/k"},
	}, header)
}

func TestDecodeHeaderText(t *testing.T) {
	for _, tt := range []struct{ name, sent, want string }{
		{"plain", "host-1", "host-1"},
		{"upper case", "%C3%9C", "Ü"},
		{"lower case", "%c3%9c", "Ü"},
		{"one round only", "%2520", "%20"},
		{"no digits behind the sign", "100%", "100%"},
		{"one digit behind the sign", "100%2", "100%2"},
		{"other letters behind the sign", "%zz%2G", "%zz%2G"},
		{"quoted", `"a b"`, "a b"},
		{"escapes in quotes", `"a \"b\" \\ %41"`, `a "b" \ A`},
		{"a lone quote", `"`, `"`},
		{"text that is not encoded", "Ü b", "Ü b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := events.Decode("retrain.requested.m", map[string][]string{events.HeaderID: {tt.sent}, events.HeaderSource: {tt.sent}}, []byte("{}"))
			require.NoError(t, err)
			require.Equal(t, tt.want, e.ID)
			require.Equal(t, tt.want, e.Source)
		})
	}
}

func TestDecodeIsLenient(t *testing.T) {
	const tick = "$schedule.retrain.m"
	for _, tt := range []struct {
		name, subject, data string
		header              map[string][]string
		want                events.Event
	}{
		{name: "no headers", subject: "label.observed.telco-churn", data: `{"entity_id":"7","outcome":true}`,
			want: events.Event{Model: "telco-churn", Payload: &events.LabelObserved{EntityID: "7", Outcome: "true"}}},
		{name: "a number as outcome", subject: "label.observed.m", data: ` {"entity_id":"7","outcome": 1 } `,
			want: events.Event{Model: "m", Payload: &events.LabelObserved{EntityID: "7", Outcome: "1"}}},
		{name: "unknown fields", subject: "retrain.requested.m", data: `{"actor":"ann","later":{"a":[1]},"nothing":null}`,
			want: events.Event{Model: "m", Payload: &events.RetrainRequested{Actor: "ann"}}},
		{name: "header names in another case", subject: "retrain.requested.m", data: `{}`,
			header: map[string][]string{"CE-ID": {"1"}, "Ce-Source": {"s"}, "Ce-Type": {"retrain.requested.v1"}, "ce-Time": {"2026-03-01T13:00:00.123456789+01:00"}},
			want:   events.Event{ID: "1", Source: "s", Model: "m", Time: noon, Payload: &events.RetrainRequested{}}},
		{name: "the exact header name wins", subject: "retrain.requested.m", data: `{}`,
			header: map[string][]string{"CE-ID": {"1"}, "ce-id": {"2"}, "Ce-Id": {"3"}},
			want:   events.Event{ID: "2", Model: "m", Payload: &events.RetrainRequested{}}},
		{name: "else the first by name", subject: "retrain.requested.m", data: `{}`,
			header: map[string][]string{"cE-Id": {"4"}, "CE-ID": {"1"}, "Ce-Id": {"3"}},
			want:   events.Event{ID: "1", Model: "m", Payload: &events.RetrainRequested{}}},
		{name: "a message id in place of ce-id, as it stands", subject: "retrain.requested.m", data: `{}`,
			header: map[string][]string{events.HeaderMsgID: {"a%20b"}},
			want:   events.Event{ID: "a%20b", Model: "m", Payload: &events.RetrainRequested{}}},
		{name: "a schedule's tick", subject: "retrain.requested.m", data: `{"cron":"0 0 2 * * 1","actor":"spec","target_stage":"Staging"}`,
			header: map[string][]string{events.HeaderType: {"schedule.retrain.v1"}, events.HeaderID: {"x"}, events.HeaderScheduler: {tick}},
			want:   events.Event{ID: "x", Model: "m", Payload: &events.RetrainRequested{Actor: "spec", TargetStage: events.StageStaging}}},
		{name: "nulls where something is optional", subject: "label.observed.m", data: `{"entity_id":"7","prediction_id":null,"outcome":"No","observed_at":null}`,
			want: events.Event{Model: "m", Payload: &events.LabelObserved{EntityID: "7", Outcome: "No"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := events.Decode(tt.subject, tt.header, []byte(tt.data))
			require.NoError(t, err)
			require.Equal(t, tt.want, e)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const requested, label = "retrain.requested.m", "label.observed.m"
	typed := func(s string) map[string][]string { return map[string][]string{events.HeaderType: {s}} }
	for _, tt := range []struct {
		name, subject, data string
		header              map[string][]string
		is                  error
		says                string
	}{
		{"junk", requested, "\x00\xffjunk", nil, events.ErrInvalid, requested},
		{"nothing", requested, "", nil, events.ErrInvalid, requested},
		{"null", requested, " null\n", nil, events.ErrInvalid, "null"},
		{"a list", requested, "[]", nil, events.ErrInvalid, "array"},
		{"a string", requested, `"x"`, nil, events.ErrInvalid, "string"},
		{"cut off", requested, `{"actor":"an`, nil, events.ErrInvalid, "unexpected end"},
		{"two documents", requested, `{}{}`, nil, events.ErrInvalid, "after top-level"},
		{"another type of a field", requested, `{"actor":7}`, nil, events.ErrInvalid, "actor"},
		{"NaN", "prediction.made.m", `{"score":NaN}`, nil, events.ErrInvalid, "invalid character"},
		{"a number beyond float64", "prediction.made.m", `{"score":1e999}`, nil, events.ErrInvalid, "score"},
		{"a broken rule", label, `{"outcome":"Yes"}`, nil, events.ErrInvalid, "prediction_id or entity_id"},
		{"an outcome that is null", label, `{"entity_id":"7","outcome":null}`, nil, events.ErrInvalid, "outcome"},
		{"an outcome that is an object", label, `{"entity_id":"7","outcome":{}}`, nil, events.ErrInvalid, "outcome"},
		{"an outcome that is a list", label, `{"entity_id":"7","outcome":[1]}`, nil, events.ErrInvalid, "outcome"},
		{"no such subject", "run.paused.m", `{}`, nil, events.ErrUnknownType, "run.paused.m"},
		{"a subject without a model", "run.completed", `{}`, nil, events.ErrUnknownType, "run.completed"},
		{"one word", "run", `{}`, nil, events.ErrUnknownType, "run"},
		{"no subject", "", `{}`, nil, events.ErrUnknownType, ""},
		{"a model that is no token", "retrain.requested.ü", `{}`, nil, events.ErrInvalid, "ü"},
		{"an empty model", "retrain.requested.", `{}`, nil, events.ErrInvalid, "token"},
		{"an unknown type", requested, `{}`, typed("retrain.wished.v1"), events.ErrUnknownType, "retrain.wished.v1"},
		{"an unknown version", requested, `{}`, typed("retrain.requested.v2"), events.ErrUnknownType, "retrain.requested.v2"},
		{"another type than the subject's", requested, `{}`, typed("label.observed.v1"), events.ErrInvalid, "label.observed.v1"},
		{"a schedule on the tick's subject without the server's word", requested, `{}`, typed("schedule.retrain.v1"), events.ErrInvalid, "schedule.retrain.v1"},
		{"a time that is none", requested, `{}`, map[string][]string{events.HeaderTime: {"yesterday"}}, events.ErrInvalid, "yesterday"},
		{"a time that leaves its year", requested, `{}`, map[string][]string{events.HeaderTime: {"9999-12-31T23:59:59-01:00"}}, events.ErrInvalid, "9999"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := events.Decode(tt.subject, tt.header, []byte(tt.data))
			require.ErrorIs(t, err, tt.is)
			require.ErrorContains(t, err, tt.says)
			require.Zero(t, e)
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	event := func(p events.Payload) events.Event { return events.New("m", "s", "k", noon, p) }
	for _, tt := range []struct {
		name  string
		event events.Event
		is    error
	}{
		{"no payload", events.Event{ID: "1", Source: "s", Model: "m"}, events.ErrInvalid},
		{"no id", events.Event{Source: "s", Model: "m", Payload: &events.RetrainRequested{}}, events.ErrInvalid},
		{"no source", events.New("m", "", "k", noon, &events.RetrainRequested{}), events.ErrInvalid},
		{"no model", events.New("", "s", "k", noon, &events.RetrainRequested{}), events.ErrInvalid},
		{"a long model", events.New(strings.Repeat("m", events.MaxModelName+1), "s", "k", noon, &events.RetrainRequested{}), events.ErrInvalid},
		{"a broken rule", event(&events.LabelObserved{Outcome: "Yes"}), events.ErrInvalid},
		{"a time beyond year 9999", events.New("m", "s", "k", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), &events.RetrainRequested{}), events.ErrInvalid},
		{"a record that is no JSON", event(&events.PredictionMade{PredictionID: "p", Version: 1, Record: json.RawMessage(`{"a":`)}), events.ErrInvalid},
		{"a report that is no JSON", event(&events.RunFailed{RunID: "r", Step: "s", Reason: "x", Report: json.RawMessage("no")}), events.ErrInvalid},
		{"a payload of another package", event(foreign{}), events.ErrUnknownType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := tt.event.Encode()
			require.ErrorIs(t, err, tt.is)
		})
	}
}

// Every number of every payload, once as NaN and once as each infinity.
func TestEncodeRefusesWhatIsNotFinite(t *testing.T) {
	n := 0
	for _, k := range events.Kinds() {
		for i, spot := range spots(sample(t, k.Type)) {
			if spot.typ.Kind() != reflect.Float64 || spot.typ == reflect.TypeFor[events.Number]() { // which has words for them
				continue
			}
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				p := sample(t, k.Type)
				spots(p)[i].set(reflect.ValueOf(bad))
				_, _, _, err := events.New("m", "s", "k", noon, p).Encode()
				require.ErrorIs(t, err, events.ErrInvalid, "%s is %v", spot.path, bad)
				n++
			}
		}
	}
	require.Greater(t, n, 3*20, "numbers found")
}

// foreign is a payload that Encode does not know.
type foreign struct{}

func (foreign) EventType() events.Type { return "cat.fed.v1" }
func (foreign) Validate() error        { return nil }

func TestScheduleKey(t *testing.T) {
	const schedule, due = "schedule.retrain.m", "2026-03-02T02:00:00Z"
	tick := map[string][]string{events.HeaderScheduler: {schedule}, events.HeaderScheduleDue: {due}, events.HeaderID: {"x"}}
	key, ok := events.ScheduleKey(tick)
	require.True(t, ok)
	require.Equal(t, schedule+"@"+due, key)

	again, ok := events.ScheduleKey(map[string][]string{events.HeaderScheduler: {schedule}, events.HeaderScheduleDue: {due}, events.HeaderID: {"y"}})
	require.True(t, ok)
	require.Equal(t, key, again, "the same tick fired twice")

	_, ok = events.ScheduleKey(map[string][]string{events.HeaderScheduleDue: {due}})
	require.False(t, ok)
}

// What Decode takes, Encode writes, and Decode reads back as the same bytes; whatever else comes is one of the two errors.
func FuzzDecode(f *testing.F) {
	for _, k := range events.Kinds() {
		subject, header, data := encode(f, events.New("telco churn", "s", "k", noon, sample(f, k.Type)))
		f.Add(subject, header[events.HeaderType][0], header[events.HeaderID][0], header[events.HeaderTime][0], data)
	}
	f.Add("label.observed.m", "", "", "", []byte(`{"entity_id":"7","outcome":1e5}`))
	f.Add("retrain.requested.=_w", "", "%zz", "0000-01-01T00:00:00+01:00", []byte("null"))
	f.Fuzz(func(t *testing.T, subject, typ, id, at string, data []byte) {
		header := map[string][]string{events.HeaderType: {typ}, events.HeaderID: {id}, events.HeaderTime: {at}}
		e, err := events.Decode(subject, header, data)
		if err != nil {
			if !errors.Is(err, events.ErrInvalid) && !errors.Is(err, events.ErrUnknownType) {
				t.Fatalf("%v is neither", err)
			}
			return
		}
		e.Source = "fuzz"
		if e.ID == "" {
			e.ID = "fuzz"
		}
		subject2, header2, data2 := encode(t, e)
		require.Equal(t, subject, subject2)
		back, err := events.Decode(subject2, header2, data2)
		require.NoError(t, err)
		_, header3, data3 := encode(t, back)
		require.Equal(t, header2, header3)
		require.Equal(t, string(data2), string(data3))
	})
}
