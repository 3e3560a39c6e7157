package objstore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/artifacttest"
	"telco-churn-mlops/internal/bus/bustest"
)

func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), connect(t, bustest.Start(t).URL()), cfg)
	require.NoError(t, err)
	return s
}

// bucket is the same bucket as another client sees it.
func bucket(t *testing.T, s *Store) jetstream.ObjectStore {
	t.Helper()
	other, err := s.js.ObjectStore(t.Context(), s.cfg.Bucket)
	require.NoError(t, err)
	return other
}

func messages(t *testing.T, s *Store) int {
	t.Helper()
	stream, err := s.js.Stream(t.Context(), s.streamName())
	require.NoError(t, err)
	return int(stream.CachedInfo().State.Msgs)
}

// replace swaps the chunks of d for others and leaves its info as it was, as a disk that lies would.
func replace(t *testing.T, s *Store, d artifact.Digest, content []byte) {
	t.Helper()
	m, err := s.find(t.Context(), d)
	require.NoError(t, err)
	subject := s.chunkSubject(m.info.NUID)
	require.NoError(t, s.stream.Purge(t.Context(), jetstream.WithPurgeSubject(subject)))
	for len(content) > 0 {
		n := min(chunkSize, len(content))
		_, err := s.js.Publish(t.Context(), subject, content[:n])
		require.NoError(t, err)
		content = content[n:]
	}
}

func TestConformance(t *testing.T) {
	artifacttest.Run(t, artifacttest.Harness{
		Open: func(t *testing.T) artifact.Store { return open(t, DefaultConfig()) },
		Replace: func(t *testing.T, s artifact.Store, d artifact.Digest, content []byte) {
			replace(t, s.(*Store), d, content)
		},
		Raw: func(t *testing.T, s artifact.Store) int { return messages(t, s.(*Store)) },
		Later: func(_ *testing.T, s artifact.Store, by time.Duration) {
			s.(*Store).cfg.Now = func() time.Time { return time.Now().Add(by) }
		},
	})
}

func TestManyOpenTheBucketAtOnce(t *testing.T) {
	srv := bustest.Start(t)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		js := connect(t, srv.URL())
		wg.Go(func() {
			// Different limits are not an error either: who comes second takes what is there.
			_, errs[i] = Open(t.Context(), js, Config{MaxBytes: int64(1+i%2) << 20})
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestManyFindRoomForABucketThatFillsTheServer(t *testing.T) {
	srv := bustest.Start(t)
	errs := make([]error, 12)
	clients := make([]jetstream.JetStream, len(errs))
	for i := range clients {
		clients[i] = connect(t, srv.URL())
	}
	var wg sync.WaitGroup
	for i, js := range clients {
		wg.Go(func() { _, errs[i] = Open(t.Context(), js, Config{MaxBytes: srv.StoreBytes() * 6 / 10}) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestABucketThatIsThereIsBoundWhateverItsLimit(t *testing.T) {
	server := bustest.Start(t)
	first, err := Open(t.Context(), connect(t, server.URL()), Config{MaxBytes: 1 << 20})
	require.NoError(t, err)
	ref, err := artifact.PutBytes(t.Context(), first, []byte("kept"))
	require.NoError(t, err)
	again, err := Open(t.Context(), connect(t, server.URL()), Config{MaxBytes: 1 << 50}) // more than any server has room for
	require.NoError(t, err)
	got, err := artifact.ReadAll(t.Context(), again, ref.Digest, 100)
	require.NoError(t, err)
	require.Equal(t, "kept", string(got))
}

func TestOtherClientsReadAndWriteTheSameBucket(t *testing.T) {
	s := open(t, Config{})
	content := artifacttest.Content(300_000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	got, err := bucket(t, s).GetBytes(t.Context(), ref.Digest.Hex())
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	info, err := bucket(t, s).GetInfo(t.Context(), ref.Digest.Hex())
	require.NoError(t, err)
	require.EqualValues(t, 300_000, info.Size)
	require.EqualValues(t, 3, info.Chunks)

	theirs := artifacttest.Content(200_000)
	_, err = bucket(t, s).PutBytes(t.Context(), "notes.txt", theirs)
	require.NoError(t, err)
	_, err = s.Stat(t.Context(), artifact.DigestOf(theirs))
	require.ErrorIs(t, err, artifact.ErrNotFound, "an object with another name is ignored")
	_, err = bucket(t, s).PutBytes(t.Context(), artifact.DigestOf(theirs).Hex(), theirs)
	require.NoError(t, err)
	require.NoError(t, artifact.Verify(t.Context(), s, artifact.DigestOf(theirs)))
}

func TestAWrongNameGivenByAnotherClientIsCorruptUntilPut(t *testing.T) {
	s := open(t, Config{})
	content := artifacttest.Content(1000)
	d := artifact.DigestOf(content)
	_, err := bucket(t, s).PutBytes(t.Context(), d.Hex(), []byte("something else"))
	require.NoError(t, err)
	_, err = s.Stat(t.Context(), d)
	require.ErrorIs(t, err, artifact.ErrCorrupt)
	_, err = artifact.ReadAll(t.Context(), s, d, 1000)
	require.ErrorIs(t, err, artifact.ErrCorrupt)
	_, err = artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	require.NoError(t, artifact.Verify(t.Context(), s, d))
}

func TestDeletedObjectIsNotFoundAndCanBePutAgain(t *testing.T) {
	s := open(t, Config{})
	ref, err := artifact.PutBytes(t.Context(), s, artifacttest.Content(1000))
	require.NoError(t, err)
	require.NoError(t, bucket(t, s).Delete(t.Context(), ref.Digest.Hex()))
	_, err = s.Open(t.Context(), ref.Digest)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	_, err = artifact.PutBytes(t.Context(), s, artifacttest.Content(1000))
	require.NoError(t, err)
	require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest))
}

func TestJunkUnderANameIsCorruptAndRepaired(t *testing.T) {
	s := open(t, Config{})
	content := artifacttest.Content(1000)
	d := artifact.DigestOf(content)
	wrong := func(change func(*jetstream.ObjectInfo)) []byte {
		info := jetstream.ObjectInfo{NUID: "abc", Size: 1000, Chunks: 1, Digest: wireDigest(d)}
		change(&info)
		b, err := json.Marshal(info)
		require.NoError(t, err)
		return b
	}
	for name, data := range map[string][]byte{
		"no JSON":             []byte("junk"),
		"empty":               nil,
		"wildcard for a nuid": wrong(func(i *jetstream.ObjectInfo) { i.NUID = ">" }),
		"no nuid":             wrong(func(i *jetstream.ObjectInfo) { i.NUID = "" }),
		"size beyond int64":   wrong(func(i *jetstream.ObjectInfo) { i.Size = 1 << 63 }),
		"other digest":        wrong(func(i *jetstream.ObjectInfo) { i.Digest = "SHA-256=AAAA" }),
		"no chunks":           wrong(func(*jetstream.ObjectInfo) {}),
	} {
		require.NoError(t, s.stream.Purge(t.Context()), name)
		msg := &nats.Msg{Subject: s.metaSubject(d), Data: data, Header: nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}}}
		_, err := s.js.PublishMsg(t.Context(), msg)
		require.NoError(t, err)
		_, err = artifact.ReadAll(t.Context(), s, d, 1000)
		require.ErrorIs(t, err, artifact.ErrCorrupt, name)
		_, err = artifact.PutBytes(t.Context(), s, content)
		require.NoError(t, err, name)
		require.NoError(t, artifact.Verify(t.Context(), s, d), name)
		require.Equal(t, 2, messages(t, s), name)
	}
}

func TestPutCancelledDuringUploadLeavesNothing(t *testing.T) {
	s := open(t, Config{})
	content := artifacttest.Content(40 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sub, err := s.js.Conn().Subscribe(s.chunkSubject(">"), func(*nats.Msg) { cancel() })
	require.NoError(t, err)
	require.NoError(t, sub.AutoUnsubscribe(1))
	require.NoError(t, s.js.Conn().Flush())
	_, err = artifact.PutBytes(ctx, s, content)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Stat(t.Context(), artifact.DigestOf(content))
	require.ErrorIs(t, err, artifact.ErrNotFound)
	// A chunk that was on its way when the others were removed may arrive after them; Sweep is for those.
	_, err = s.sweep(t.Context(), 0)
	require.NoError(t, err)
	require.Zero(t, messages(t, s))
}

func TestPutThatDiesDuringUploadIsInvisible(t *testing.T) {
	srv := bustest.Start(t)
	s, err := Open(t.Context(), connect(t, srv.URL()), Config{})
	require.NoError(t, err)
	dying, err := Open(t.Context(), connect(t, srv.URL()), Config{RetryFor: time.Millisecond})
	require.NoError(t, err)
	_, err = s.js.Conn().Subscribe(s.chunkSubject(">"), func(*nats.Msg) { dying.js.Conn().Close() })
	require.NoError(t, err)
	require.NoError(t, s.js.Conn().Flush())
	content := artifacttest.Content(40 << 20)
	_, err = artifact.PutBytes(t.Context(), dying, content)
	require.Error(t, err)
	require.True(t, artifact.Transient(err), "%v", err)

	require.Positive(t, messages(t, s), "the upload had begun")
	_, err = s.Stat(t.Context(), artifact.DigestOf(content))
	require.ErrorIs(t, err, artifact.ErrNotFound)
	_, err = artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	require.NoError(t, artifact.Verify(t.Context(), s, artifact.DigestOf(content)))
	n, err := s.sweep(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, 40<<20/chunkSize+1, messages(t, s))
}

func TestRefusedInfoOfAnOvertakenPut(t *testing.T) {
	s := open(t, Config{})
	content := artifacttest.Content(1000)
	spool, err := artifact.NewSpool(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	before, err := s.readMeta(t.Context(), spool.Ref().Digest)
	require.NoError(t, err)
	require.NoError(t, s.upload(t.Context(), spool, before))
	// A second writer that looked before the first one wrote.
	require.ErrorIs(t, s.upload(t.Context(), spool, before), errOvertaken)
	require.Equal(t, 2, messages(t, s), "its chunks are gone")
	require.NoError(t, artifact.Verify(t.Context(), s, spool.Ref().Digest))
}

func TestAnInfoThatIsThereAlreadyIsOurs(t *testing.T) {
	s := open(t, Config{})
	d := artifact.DigestOf(nil)
	info := jetstream.ObjectInfo{ObjectMeta: jetstream.ObjectMeta{Name: d.Hex()}, NUID: "ours", Digest: wireDigest(d)}
	for range 2 { // the second one is the repetition after a lost ack
		settled, err := s.publishMeta(t.Context(), d, info, 0)
		require.NoError(t, err)
		require.True(t, settled)
	}
	require.Equal(t, 1, messages(t, s))
	require.NoError(t, artifact.Verify(t.Context(), s, d))
}

func BenchmarkStore(b *testing.B) {
	for _, size := range []int{200_000, 20 << 20} {
		srv := bustest.Start(b)
		nc, err := nats.Connect(srv.URL())
		require.NoError(b, err)
		b.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		require.NoError(b, err)
		s, err := Open(b.Context(), js, Config{})
		require.NoError(b, err)
		content := artifacttest.Content(size)
		b.Run(fmt.Sprintf("put/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := range b.N {
				content[0], content[1], content[2] = byte(i), byte(i>>8), byte(i>>16)
				ref, err := artifact.PutBytes(b.Context(), s, content)
				require.NoError(b, err)
				b.StopTimer()
				bucket, err := js.ObjectStore(b.Context(), s.cfg.Bucket)
				require.NoError(b, err)
				require.NoError(b, bucket.Delete(b.Context(), ref.Digest.Hex()))
				b.StartTimer()
			}
		})
		ref, err := artifact.PutBytes(b.Context(), s, content)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("get/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, artifact.Verify(b.Context(), s, ref.Digest))
			}
		})
	}
}

func TestFullBucketIsToldAtOnceAndKeepsNothing(t *testing.T) {
	s := open(t, Config{MaxBytes: 1 << 20, RetryFor: time.Hour})
	content := artifacttest.Content(2 << 20)
	_, err := artifact.PutBytes(t.Context(), s, content)
	require.ErrorContains(t, err, "maximum bytes exceeded")
	require.ErrorIs(t, err, artifact.ErrFull)
	require.True(t, artifact.Transient(err))
	_, err = s.Stat(t.Context(), artifact.DigestOf(content))
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.Zero(t, messages(t, s), "no chunk stays, those on their way when the first was refused included")
	_, err = artifact.PutBytes(t.Context(), s, content[:500_000])
	require.NoError(t, err)
}

func TestSweepRemovesOnlyWhatDeadPutsLeft(t *testing.T) {
	s := open(t, Config{})
	kept, err := artifact.PutBytes(t.Context(), s, artifacttest.Content(300_000))
	require.NoError(t, err)
	for i := range 3 { // the server killed before the info came
		for range 2 {
			_, err := s.js.Publish(t.Context(), s.chunkSubject(fmt.Sprintf("dead%d", i)), []byte("half"))
			require.NoError(t, err)
		}
	}
	before := messages(t, s)
	n, err := s.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "a put that goes on looks the same until it is old")
	require.Equal(t, before, messages(t, s))

	_, err = s.js.Publish(t.Context(), "$O.artifacts.M.anVuaw==", []byte("junk"))
	require.NoError(t, err)
	_, err = s.sweep(t.Context(), 0)
	require.ErrorContains(t, err, "decode object info")
	require.Equal(t, before+1, messages(t, s), "nothing goes while an info can't be read")
	require.NoError(t, s.stream.Purge(t.Context(), jetstream.WithPurgeSubject("$O.artifacts.M.anVuaw==")))

	n, err = s.sweep(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, before-6, messages(t, s))
	require.NoError(t, artifact.Verify(t.Context(), s, kept.Digest))
}

func TestServerAwayIsTransient(t *testing.T) {
	srv := bustest.Start(t)
	s, err := Open(t.Context(), connect(t, srv.URL()), Config{RetryFor: 100 * time.Millisecond})
	require.NoError(t, err)
	ref, err := artifact.PutBytes(t.Context(), s, artifacttest.Content(300_000))
	require.NoError(t, err)
	rc, err := s.Open(t.Context(), ref.Digest)
	require.NoError(t, err)
	_, err = io.ReadFull(rc, make([]byte, 10))
	require.NoError(t, err)
	srv.Stop(t)

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = s.Stat(ctx, ref.Digest)
	require.Error(t, err)
	require.True(t, artifact.Transient(err), "%v", err)
	_, err = artifact.PutBytes(ctx, s, artifacttest.Content(10))
	require.Error(t, err)
	require.True(t, artifact.Transient(err), "%v", err)
}

func TestCallsOutliveARestartOfTheServer(t *testing.T) {
	srv := bustest.Start(t)
	s, err := Open(t.Context(), connect(t, srv.URL()), Config{})
	require.NoError(t, err)
	content := artifacttest.Content(300_000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	rc, err := s.Open(t.Context(), ref.Digest)
	require.NoError(t, err)
	head := make([]byte, 10)
	_, err = io.ReadFull(rc, head)
	require.NoError(t, err)

	srv.Stop(t)
	var rest []byte
	var readErr, putErr error
	var wg sync.WaitGroup
	wg.Go(func() { rest, readErr = io.ReadAll(rc) })
	wg.Go(func() { _, putErr = artifact.PutBytes(t.Context(), s, artifacttest.Content(200_000)) })
	srv.Resume(t)
	wg.Wait()
	require.NoError(t, readErr)
	require.True(t, bytes.Equal(content, append(head, rest...)))
	require.NoError(t, putErr)
	require.NoError(t, artifact.Verify(t.Context(), s, artifact.DigestOf(artifacttest.Content(200_000))))
}

func TestConfig(t *testing.T) {
	require.NoError(t, Config{}.Validate())
	require.NoError(t, DefaultConfig().Validate())
	filled := Config{}.withDefaults()
	require.NotNil(t, filled.Now)
	filled.Now = nil
	require.Equal(t, DefaultConfig(), filled)
	for _, bad := range []Config{{Replicas: 6}, {Replicas: -1}, {MaxBytes: -1}, {RetryFor: -1}} {
		_, err := Open(t.Context(), nil, bad)
		require.Error(t, err, "%+v", bad)
	}
	s := open(t, Config{Bucket: "models"})
	require.Equal(t, "nats object store models", s.String())
	_, err := Open(t.Context(), s.js, Config{Bucket: "not a name"})
	require.ErrorIs(t, err, jetstream.ErrInvalidStreamName)
}

func TestSweepRemovesWhatAnInterruptedDeletionLeft(t *testing.T) {
	s := open(t, Config{})
	kept, err := artifact.PutBytes(t.Context(), s, artifacttest.Content(1000))
	require.NoError(t, err)
	before := messages(t, s)
	ref, err := artifact.PutBytes(t.Context(), s, artifacttest.Content(300_000))
	require.NoError(t, err)
	m, err := s.find(t.Context(), ref.Digest)
	require.NoError(t, err)
	// What Delete does before it is killed: the name is gone, the chunks are there.
	gone := m.info
	gone.Deleted = true
	_, err = s.publishMeta(t.Context(), ref.Digest, gone, m.seq)
	require.NoError(t, err)
	swept, err := s.sweep(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 1, swept)
	require.Equal(t, before, messages(t, s), "the mark of the deletion goes with them")
	require.NoError(t, artifact.Verify(t.Context(), s, kept.Digest))
}

func TestARefreshAndADeletionExcludeEachOther(t *testing.T) {
	s := open(t, Config{})
	content := artifacttest.Content(300_000)
	ref, err := artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	old, err := s.find(t.Context(), ref.Digest)
	require.NoError(t, err)
	s.cfg.Now = func() time.Time { return time.Now().Add(artifact.RefreshAfter) }
	require.NoError(t, s.refresh(t.Context(), ref.Digest, old))
	require.NoError(t, s.refresh(t.Context(), ref.Digest, old), "made young by somebody: that is all it is for")
	require.ErrorIs(t, s.Delete(t.Context(), ref.Digest, old.at), artifact.ErrRecent)

	young, err := s.find(t.Context(), ref.Digest)
	require.NoError(t, err)
	require.NoError(t, s.Delete(t.Context(), ref.Digest, young.at))
	require.ErrorIs(t, s.refresh(t.Context(), ref.Digest, young), errOvertaken)
	_, err = artifact.PutBytes(t.Context(), s, content)
	require.NoError(t, err)
	require.NoError(t, artifact.Verify(t.Context(), s, ref.Digest))
}

func TestABucketThatMustExistIsNotMade(t *testing.T) {
	js := connect(t, bustest.Start(t).URL())
	_, err := Open(t.Context(), js, Config{Existing: true})
	require.ErrorIs(t, err, ErrNoBucket)
	_, err = js.Stream(t.Context(), "OBJ_"+DefaultBucket)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	_, err = Open(t.Context(), js, Config{})
	require.NoError(t, err)
	_, err = Open(t.Context(), js, Config{Existing: true})
	require.NoError(t, err)
}
