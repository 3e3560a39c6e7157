package filter

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/registry/fault"
)

// Query is what a page token is bound to: a domain, and all that decides which entities are found in which order. The number of results is no part of
// it, so that a client may change it between pages.
type Query struct {
	Domain  Domain
	Filter  string
	OrderBy []string
	// Scope is whatever else decides, for instance the experiments' ids and the view.
	Scope []string
}

// sum identifies the query.
func (q Query) sum() uint64 {
	h := xxhash.New()
	add := func(s string) { _, _ = h.WriteString(strconv.Itoa(len(s)) + ":" + s) }
	add(strconv.Itoa(int(q.Domain)))
	add(q.Filter)
	add(strconv.Itoa(len(q.OrderBy)))
	for _, s := range q.OrderBy {
		add(s)
	}
	for _, s := range q.Scope {
		add(s)
	}
	return h.Sum64()
}

const (
	tokenVersion = 1
	sumBytes     = 8
	maxToken     = 1 << 20
)

// EncodeToken returns the token of the page that follows the entity with the key. It stays good while entities come and go: the next page begins with
// the first entity whose key comes after this one.
func EncodeToken(q Query, last Key) string {
	raw := []byte{tokenVersion}
	raw = binary.BigEndian.AppendUint64(raw, q.sum())
	for _, v := range last {
		raw = append(raw, v.rank)
		switch v.rank {
		case rankNumber:
			raw = binary.BigEndian.AppendUint64(raw, math.Float64bits(v.number))
		case rankText:
			raw = binary.AppendUvarint(raw, uint64(len(v.text)))
			raw = append(raw, v.text...)
		}
	}
	raw = binary.BigEndian.AppendUint64(raw, xxhash.Sum64(raw))
	return base64.RawURLEncoding.EncodeToString(raw)
}

// DecodeToken returns the key that a token of this query holds; an empty token gives a nil key, the beginning. A token of another query, or a text that
// is no token, is a [*fault.Error] with code Invalid.
func DecodeToken(q Query, o Order, token string) (Key, error) {
	if token == "" {
		return nil, nil
	}
	bad := fault.New(fault.Invalid, "page_token is not one that was given out for this query")
	if len(token) > maxToken {
		return nil, bad
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 1+2*sumBytes || raw[0] != tokenVersion {
		return nil, bad
	}
	body, sum := raw[:len(raw)-sumBytes], raw[len(raw)-sumBytes:]
	if xxhash.Sum64(body) != binary.BigEndian.Uint64(sum) || binary.BigEndian.Uint64(body[1:]) != q.sum() {
		return nil, bad
	}
	body = body[1+sumBytes:]
	key := make(Key, 0, len(o.fields))
	for _, f := range o.fields {
		var v value
		var ok bool
		if v, body, ok = decodeValue(body, f); !ok {
			return nil, bad
		}
		key = append(key, v)
	}
	if len(body) > 0 {
		return nil, bad
	}
	return key, nil
}

// decodeValue reads one value, which must fit the field, and returns what follows it.
func decodeValue(raw []byte, f field) (v value, rest []byte, ok bool) {
	if len(raw) == 0 {
		return v, nil, false
	}
	v.rank, raw = raw[0], raw[1:]
	switch v.rank {
	case rankNumber:
		if len(raw) < 8 || !f.numeric {
			return v, nil, false
		}
		v.number = math.Float64frombits(binary.BigEndian.Uint64(raw))
		return v, raw[8:], !math.IsNaN(v.number)
	case rankText:
		n, used := binary.Uvarint(raw)
		if used <= 0 || n > uint64(len(raw)-used) || f.numeric {
			return v, nil, false
		}
		end := used + int(n)
		v.text = string(raw[used:end])
		return v, raw[end:], true
	case rankNaN:
		return v, raw, f.numeric
	case rankMissing:
		return v, raw, true
	}
	return v, nil, false
}
