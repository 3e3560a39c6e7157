package embedded_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// The tests of this file run the bus against servers that are not ours: one that trusts JWTs, and a cluster of three. They live here because
// only this folder may import the server.

func requested(key string) events.Event {
	return events.New("telco", "test/local", key, time.Now(), &events.RetrainRequested{Actor: "test", Reason: key})
}

func TestCredsFile(t *testing.T) {
	t.Parallel()
	url, creds := operatorServer(t)
	b, err := bus.Connect(testContext(t), bus.Config{URL: url, CredsFile: creds, StoreBytes: 1 << 30})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close(testContext(t))) }()
	require.NoError(t, b.Provision(testContext(t)))
	_, err = b.Publish(testContext(t), requested("a"))
	require.NoError(t, err)
	_, err = bus.Connect(testContext(t), bus.Config{URL: url})
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = bus.Connect(testContext(t), bus.Config{URL: url, CredsFile: filepath.Join(t.TempDir(), "missing.creds")})
	require.Error(t, err)
}

// operatorServer starts a server that trusts JWTs, and returns its address and a file of credentials for one account with JetStream.
func operatorServer(t *testing.T) (url, creds string) {
	t.Helper()
	pair := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		kp, err := create()
		require.NoError(t, err)
		pub, err := kp.PublicKey()
		require.NoError(t, err)
		return kp, pub
	}
	operator, operatorPub := pair(nkeys.CreateOperator)
	account, accountPub := pair(nkeys.CreateAccount)
	system, systemPub := pair(nkeys.CreateAccount)
	user, userPub := pair(nkeys.CreateUser)
	_ = system

	oc := jwt.NewOperatorClaims(operatorPub)
	ac := jwt.NewAccountClaims(accountPub)
	ac.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: 1 << 30, MemoryStorage: 64 << 20, Streams: -1, Consumer: -1}
	accountJWT, err := ac.Encode(operator)
	require.NoError(t, err)
	systemJWT, err := jwt.NewAccountClaims(systemPub).Encode(operator)
	require.NoError(t, err)
	userJWT, err := jwt.NewUserClaims(userPub).Encode(account)
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	file, err := jwt.FormatUserConfig(userJWT, seed)
	require.NoError(t, err)
	creds = filepath.Join(t.TempDir(), "user.creds")
	require.NoError(t, os.WriteFile(creds, file, 0o600))

	resolver := &server.MemAccResolver{}
	require.NoError(t, resolver.Store(accountPub, accountJWT))
	require.NoError(t, resolver.Store(systemPub, systemJWT))
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
		TrustedOperators: []*jwt.OperatorClaims{oc}, AccountResolver: resolver, SystemAccount: systemPub,
	})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(10*time.Second))
	return srv.ClientURL(), creds
}

// cluster starts three servers that know each other.
func cluster(t *testing.T) []*server.Server {
	t.Helper()
	var ports []int
	var routes []*url.URL
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		require.NoError(t, l.Close())
	}
	var all []*server.Server
	for i, port := range ports {
		srv, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		require.NoError(t, err)
		srv.Start()
		t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
		all = append(all, srv)
	}
	for _, srv := range all {
		require.True(t, srv.ReadyForConnections(10*time.Second))
	}
	return all
}

func TestClusterOfThreeLosesOneServer(t *testing.T) {
	all := cluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	addresses := all[0].ClientURL() + "," + all[1].ClientURL() + "," + all[2].ClientURL()
	b, err := bus.Connect(ctx, bus.Config{URL: addresses, Name: "test", StoreBytes: 1 << 30})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close(ctx) })
	require.NoError(t, b.Provision(ctx))
	st, err := b.JetStream().Stream(ctx, string(events.Lifecycle))
	require.NoError(t, err)
	require.Equal(t, 3, st.CachedInfo().Config.Replicas)

	followed := make(chan uint64, 1000)
	following, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Follow(following, bus.FollowConfig{Name: "f", Stream: events.Lifecycle}, func(_ context.Context, m bus.Message) error {
			followed <- m.Sequence
			return nil
		})
	}()
	const n = 60
	last := uint64(0)
	for i := range n {
		if i == n/3 { // the leader goes in the midst of it
			st, err := b.JetStream().Stream(ctx, string(events.Lifecycle))
			require.NoError(t, err)
			for _, srv := range all {
				if srv.Name() == st.CachedInfo().Cluster.Leader {
					srv.Shutdown()
				}
			}
		}
		ev := events.New("telco", "test/local", fmt.Sprintf("%d@%d", i, last), time.Now(), &events.RunStarted{
			RunID: fmt.Sprint(i), TargetStage: events.StageProduction, Causes: []events.Cause{{Kind: events.CauseFirst}}})
		seq, err := b.Append(ctx, ev, last)
		require.NoError(t, err)
		require.Equal(t, last+1, seq, "stored once each")
		last = seq
	}
	for i := range n {
		require.EqualValues(t, i+1, <-followed)
	}
	stop()
	require.NoError(t, <-ended)
}
