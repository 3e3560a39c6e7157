package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/app"
)

// guard are the flags that say who may use the registry, and how it is reached.
type guard struct {
	AccessFile      string `name:"access-file" env:"CHURN_ACCESS_FILE" help:"Users of the registry with their roles, YAML (\"churn users add\" writes it); read again when it changes." placeholder:"FILE"`
	InsecureOpen    bool   `name:"insecure-open" env:"CHURN_INSECURE_OPEN" help:"Without --access-file, let everybody who can reach the registry do everything, also where other machines can."`
	RegistryTLSCert string `name:"registry-tls-cert" env:"CHURN_REGISTRY_TLS_CERT" help:"Certificate chain of the registry, PEM; read again when it changes." placeholder:"FILE"`
	RegistryTLSKey  string `name:"registry-tls-key" env:"CHURN_REGISTRY_TLS_KEY" help:"Key of --registry-tls-cert, PEM." placeholder:"FILE"`
}

func (g guard) tls() app.TLSFiles {
	return app.TLSFiles{Cert: g.RegistryTLSCert, Key: g.RegistryTLSKey}
}

// scheme is that of the registry's address.
func (g guard) scheme() string {
	if g.tls().Enabled() {
		return "https://"
	}
	return "http://"
}

// policy returns who may use a registry on addr. Without users it must not be within reach of other machines, unless the flag says that this is
// what is wanted.
func (g guard) policy(addr string) (*access.Policy, error) {
	switch {
	case g.AccessFile != "":
		return access.Load(g.AccessFile)
	case g.InsecureOpen:
		return access.Open(), nil
	case loopback(addr):
		return nil, nil
	}
	return nil, fmt.Errorf("the registry on %s can be reached by other machines and has no users: give it --access-file (\"churn users add\" makes one), "+
		"listen on 127.0.0.1 (--registry-addr), or let everybody in with --insecure-open", addr)
}

// loopback reports whether only the own machine reaches the address.
func loopback(addr string) bool {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	return err == nil && resolved.IP.IsLoopback()
}

// say logs who may use the registry on addr.
func (g guard) say(log *slog.Logger, p *access.Policy, addr string) {
	switch {
	case p == nil:
		log.Info("the registry has no users: everybody on this machine may do everything", "addr", addr, "flag", "--access-file")
	case p.Users() == 0:
		log.Warn("the registry has no users: everybody who reaches it may do everything", "addr", addr, "flag", "--insecure-open")
	default:
		log.Info("the registry has users", "path", g.AccessFile, "users", p.Users())
		if !g.tls().Enabled() && !loopback(addr) {
			log.Warn("passwords and tokens come in the clear: give the registry a certificate, or put a proxy with one before it", "addr", addr,
				"flag", "--registry-tls-cert")
		}
	}
}

// about says the same to a person.
func (g guard) about(addr string) string {
	switch {
	case g.AccessFile != "":
		return "users in " + shown(g.AccessFile)
	case loopback(addr):
		return "open to everybody on this machine; --access-file gives it users"
	}
	return "OPEN to everybody who can reach it; --access-file gives it users"
}

// guarded is a service whose users file is read again while it runs.
type guarded struct {
	service
	policy *access.Policy
	log    *slog.Logger
}

// Run runs the service, and until it has ended reads the file when it changes and on SIGHUP.
func (g guarded) Run(ctx context.Context) error {
	if g.policy.Users() == 0 {
		return g.service.Run(ctx)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 2)
	go func() { ended <- g.policy.Run(own, g.log) }()
	go func() { ended <- g.reload(own) }()
	err := g.service.Run(ctx)
	cancel()
	return errors.Join(err, <-ended, <-ended)
}

func (g guarded) reload(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			if err := g.policy.Reload(); err != nil {
				g.log.Error("users file not read, the former users stay", "err", err)
				continue
			}
			g.log.Info("users file read again on SIGHUP", "users", g.policy.Users())
		}
	}
}
