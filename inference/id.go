package inference

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// predictionID is the text of a UUID.
type predictionID [36]byte

// newPredictionID returns a UUID of version 7: milliseconds of the time, the fraction of the millisecond in 1/4096, and 62 random bits of the
// runtime's ChaCha8, which each thread has a buffer of. Ids grow with time to within a quarter of a microsecond.
func newPredictionID(at time.Time) (id predictionID) {
	ns := at.UnixNano()
	ms, rest := uint64(ns/1e6), uint64(ns%1e6)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], ms<<16|7<<12|rest<<12/1e6)
	binary.BigEndian.PutUint64(b[8:], 2<<62|rand.Uint64()>>2)
	id.encode(&b)
	return id
}

// derivedID returns a UUID of version 8 that is the same whenever the same record stands at the same place of a request with the same id: a
// request that is sent again has the prediction ids that it had, so that the dedupe window of the stream keeps one row of it. scratch is used
// for what is hashed, and returned as it has grown.
func derivedID(scratch []byte, request string, index int, record []byte) (id predictionID, grown []byte) {
	scratch = binary.LittleEndian.AppendUint64(scratch[:0], uint64(len(request)))
	scratch = append(scratch, request...)
	scratch = binary.LittleEndian.AppendUint64(scratch, uint64(index))
	scratch = append(scratch, record...)
	sum := sha256.Sum256(scratch)
	b := [16]byte(sum[:16])
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	id.encode(&b)
	return id, scratch
}

func (id *predictionID) encode(b *[16]byte) {
	hex.Encode(id[:8], b[:4])
	id[8] = '-'
	hex.Encode(id[9:13], b[4:6])
	id[13] = '-'
	hex.Encode(id[14:18], b[6:8])
	id[18] = '-'
	hex.Encode(id[19:23], b[8:10])
	id[23] = '-'
	hex.Encode(id[24:], b[10:])
}
