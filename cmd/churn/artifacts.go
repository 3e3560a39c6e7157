package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/registry/collect"
)

type artifactsCmd struct {
	Move   artifactsMoveCmd   `cmd:"" help:"Copy every artifact from one store to another, verified, before the services are switched over."`
	Verify artifactsVerifyCmd `cmd:"" help:"Read every artifact and compare it with its digest; name what is missing."`
}

// storeKeys are the credentials of S3, without the choice of a store.
type storeKeys struct {
	S3AccessKey string `name:"s3-access-key" env:"CHURN_S3_ACCESS_KEY,AWS_ACCESS_KEY_ID" help:"S3 access key; without one the profile (AWS_PROFILE) or role (IAM) is used." placeholder:"KEY"`
	S3SecretKey string `name:"s3-secret-key" env:"CHURN_S3_SECRET_KEY,AWS_SECRET_ACCESS_KEY" help:"S3 secret key." placeholder:"SECRET"`
	S3Session   string `name:"s3-session-token" env:"CHURN_S3_SESSION_TOKEN,AWS_SESSION_TOKEN" help:"Session token of temporary S3 keys." placeholder:"SECRET"`
	S3Region    string `name:"s3-region" env:"CHURN_S3_REGION,AWS_REGION" help:"S3 region where --artifacts names none." placeholder:"REGION"`
	S3Endpoint  string `name:"s3-endpoint" env:"CHURN_S3_ENDPOINT,AWS_ENDPOINT_URL_S3" help:"S3 endpoint where --artifacts names none; Amazon's by default." placeholder:"URL"`
}

func (k storeKeys) store(name string) connect.Artifacts {
	return connect.Artifacts{Artifacts: name, S3AccessKey: k.S3AccessKey, S3SecretKey: k.S3SecretKey, S3Session: k.S3Session, S3Region: k.S3Region,
		S3Endpoint: k.S3Endpoint}
}

type artifactsMoveCmd struct {
	remote
	storeKeys
	From         string `name:"from" required:"" help:"Store to copy from: nats, or s3://bucket/prefix as in --artifacts." placeholder:"STORE"`
	To           string `name:"to" required:"" help:"Store to copy to." placeholder:"STORE"`
	StoreBytes   int64  `name:"store-bytes" env:"CHURN_STORE_BYTES" help:"Budget of all streams and the artifact bucket in bytes, used when they are made." default:"${store_bytes}"`
	DeleteSource bool   `name:"delete-source" help:"Then delete from the source what the target is proven to hold. Give it once the services use the target."`
}

// moved is what the command prints as JSON.
type moved struct {
	From string `json:"from"`
	To   string `json:"to"`
	artifact.Copied
	Deleted int `json:"deleted_from_source"`
}

// Run copies, and tells what to do next.
func (c artifactsMoveCmd) Run(r *run) error {
	began := time.Now()
	l, err := c.joinLoop(r, "artifacts", c.store(c.From))
	if err != nil {
		return err
	}
	to, err := c.target(r, l)
	if err == nil {
		err = c.move(r, l.store, to, began)
	}
	return closing(l.bus, err)
}

func (c artifactsMoveCmd) target(r *run, l *loop) (artifact.Store, error) {
	s, err := c.settings(r, "artifacts")
	if err != nil {
		return nil, err
	}
	s.Artifacts, s.StoreBytes = c.store(c.To), c.StoreBytes
	to, err := s.Store(r.ctx, l.bus)
	if err == nil && to.String() == l.store.String() {
		err = fmt.Errorf("--from and --to are the same: %s", to)
	}
	return to, err
}

func (c artifactsMoveCmd) move(r *run, from, to artifact.Store, began time.Time) error {
	show := newProgress(r)
	out := moved{From: from.String(), To: to.String()}
	var err error
	out.Copied, err = artifact.Copy(r.ctx, from, to, func(d artifact.Copied) {
		show.line("%s copied (%s), %s there already", humanize.Comma(int64(d.Copied)), humanize.IBytes(uint64(d.Bytes)), humanize.Comma(int64(d.Present)))
	})
	show.end()
	if err != nil {
		return &interrupted{err, fmt.Sprintf("%d objects copied; give the command again to go on", out.Copied.Copied)}
	}
	if len(out.Corrupt) == 0 && c.DeleteSource {
		if out.Deleted, err = artifact.Drop(r.ctx, from, to, began); err != nil {
			return &interrupted{err, fmt.Sprintf("%d objects deleted from the source; give the command again to go on", out.Deleted)}
		}
	}
	return errors.Join(c.print(r, out), corruption(out.Corrupt, from))
}

// corruption is the error for objects that are not what their names say.
func corruption(ds []artifact.Digest, in artifact.Store) error {
	if len(ds) == 0 {
		return nil
	}
	return fmt.Errorf("%d objects in %s are corrupt, the first is %s", len(ds), in, ds[0])
}

func (c artifactsMoveCmd) print(r *run, m moved) error {
	if r.JSON {
		return r.json(m)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s -> %s: %s objects copied (%s), %s there already\n", m.From, m.To, humanize.Comma(int64(m.Copied.Copied)), humanize.IBytes(uint64(m.Bytes)),
		humanize.Comma(int64(m.Present)))
	list(&b, "corrupt at the source, not copied:", m.Corrupt)
	switch {
	case c.DeleteSource && len(m.Corrupt) > 0:
		b.WriteString("Nothing was deleted from the source.\n")
	case c.DeleteSource:
		fmt.Fprintf(&b, "%s objects deleted from the source, each read at the target before.\n", humanize.Comma(int64(m.Deleted)))
	default:
		fmt.Fprintf(&b, `Next: restart trainer, registry, inference and drift with --artifacts '%[1]s' (CHURN_ARTIFACTS), then give this command again for what was
stored meanwhile, and with --delete-source if the old store is to be emptied.
`, c.To)
	}
	_, err := r.out.Write([]byte(b.String()))
	return err
}

type artifactsVerifyCmd struct {
	remote
	connect.Artifacts
}

// verified is what the command prints as JSON.
type verified struct {
	Store string `json:"store"`
	artifact.Checked
	// Missing are the objects that a version or a run points to and the store lacks.
	Missing []artifact.Digest `json:"missing"`
}

// Run reads all artifacts. It fails if one is corrupt or missing.
func (c artifactsVerifyCmd) Run(r *run) error {
	l, err := c.joinLoop(r, "artifacts", c.Artifacts)
	if err != nil {
		return err
	}
	return closing(l.bus, c.verify(r, l))
}

func (c artifactsVerifyCmd) verify(r *run, l *loop) error {
	show := newProgress(r)
	out := verified{Store: l.store.String(), Missing: []artifact.Digest{}}
	var err error
	out.Checked, err = artifact.Check(r.ctx, l.store, func(d artifact.Checked) {
		show.line("%s objects read (%s)", humanize.Comma(int64(d.Objects)), humanize.IBytes(uint64(d.Bytes)))
	})
	show.end()
	if err != nil {
		return err
	}
	if out.Missing, err = missing(r.ctx, l); err != nil {
		return err
	}
	var lack error
	if len(out.Missing) > 0 {
		lack = fmt.Errorf("%d objects that versions or runs point to are missing from %s, the first is %s", len(out.Missing), l.store, out.Missing[0])
	}
	return errors.Join(c.print(r, out), corruption(out.Corrupt, l.store), lack)
}

// missing returns what the streams point to and the store lacks, sorted.
func missing(ctx context.Context, l *loop) ([]artifact.Digest, error) {
	pointed, err := collect.Pointed(ctx, l.bus)
	if err != nil {
		return nil, err
	}
	out := []artifact.Digest{}
	for d := range pointed {
		if _, err := l.store.Stat(ctx, d); errors.Is(err, artifact.ErrNotFound) {
			out = append(out, d)
		} else if err != nil && !errors.Is(err, artifact.ErrCorrupt) {
			return nil, err
		}
	}
	slices.Sort(out)
	return out, nil
}

func (artifactsVerifyCmd) print(r *run, v verified) error {
	if r.JSON {
		return r.json(v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s objects (%s), %d corrupt, %d missing\n", v.Store, humanize.Comma(int64(v.Objects)), humanize.IBytes(uint64(v.Bytes)), len(v.Corrupt), len(v.Missing))
	list(&b, "corrupt", v.Corrupt)
	list(&b, "missing", v.Missing)
	_, err := r.out.Write([]byte(b.String()))
	return err
}

// listMost bounds how many digests are printed; --json has all.
const listMost = 20

func list(b *strings.Builder, what string, ds []artifact.Digest) {
	for _, d := range ds[:min(len(ds), listMost)] {
		fmt.Fprintf(b, "  %s %s\n", what, d)
	}
	if more := len(ds) - listMost; more > 0 {
		fmt.Fprintf(b, "  %s and %s more: --json lists them\n", what, humanize.Comma(int64(more)))
	}
}

// progress is a line on a terminal that is written again, and nothing elsewhere.
type progress struct {
	r    *run
	on   bool
	last time.Time
}

func newProgress(r *run) *progress {
	f, ok := r.errs.(*os.File)
	return &progress{r: r, on: ok && isatty.IsTerminal(f.Fd())}
}

// line shows the state, a few times a second.
func (p *progress) line(format string, args ...any) {
	if p.on && time.Since(p.last) > 100*time.Millisecond {
		p.last = time.Now()
		fmt.Fprintf(p.r.errs, "\r\033[K"+format, args...)
	}
}

func (p *progress) end() {
	if p.on {
		fmt.Fprint(p.r.errs, "\r\033[K")
	}
}
