package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"

	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus/embedded"
	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/trainer"
)

// generatedRows is the size of the dataset that is made where none is given: as many as the real file has.
const generatedRows = 7043

type upCmd struct {
	specFlags
	serving
	connect.Login
	connect.Artifacts
	guard
	scoring
	NATS          string        `name:"nats" env:"CHURN_NATS" help:"NATS server or cluster, comma-separated, instead of the embedded one." placeholder:"URL"`
	StoreDir      string        `name:"store-dir" env:"CHURN_STORE_DIR" default:".churn" help:"Folder of the embedded server's streams, the bundle cache and generated data."`
	StoreBytes    int64         `name:"store-bytes" env:"CHURN_STORE_BYTES" default:"${store_bytes}" help:"Budget of all streams and the artifact bucket in bytes, used when they are made."`
	Host          string        `name:"host" env:"CHURN_HOST" default:"127.0.0.1" help:"Where the embedded NATS server listens."`
	Port          int           `name:"port" env:"CHURN_PORT" default:"4222" help:"Port of the embedded NATS server; --port=-1 takes a free one."`
	Sync          string        `name:"sync" env:"CHURN_SYNC" default:"1s" help:"How often the embedded server forces its files to disk: a duration, or always. A power loss can take that much; a kill takes nothing."`
	Addr          string        `name:"inference-addr" env:"CHURN_INFERENCE_ADDR" default:"${inference_addr}" help:"Address of /predict, health and metrics."`
	RegistryAddr  string        `name:"registry-addr" env:"CHURN_REGISTRY_ADDR" default:"${registry_addr}" help:"Address of the registry's pages, health and metrics."`
	TrainerAddr   string        `name:"trainer-addr" env:"CHURN_TRAINER_ADDR" default:"${trainer_addr}" help:"Address of the trainer's health, metrics and status."`
	DriftAddr     string        `name:"drift-addr" env:"CHURN_DRIFT_ADDR" default:"${drift_addr}" help:"Address of drift's health, metrics and status."`
	ScorerAddr    string        `name:"scorer-addr" env:"CHURN_SCORER_ADDR" default:"${scorer_addr}" help:"Address of the scorer's health and metrics."`
	Instance      string        `name:"instance" env:"CHURN_INSTANCE" help:"Name of this process in events; the host's name by default." placeholder:"NAME"`
	WaitForServer time.Duration `name:"connect-timeout" env:"CHURN_CONNECT_TIMEOUT" default:"30s" help:"How long to wait for an external server."`
}

// stack is everything in one process.
type stack struct {
	server     *embedded.Server // nil with an external server
	url        string
	login      connect.Login
	spec       *spec.Spec
	process    *process
	components []app.Component
	// addresses as bound
	predict, registry, trainer, drift, scorer string
	scheme                                    string // of the registry
}

// Run starts everything and blocks until it is told to stop.
func (c upCmd) Run(r *run) error {
	sp, data, err := c.load()
	if err != nil {
		return err
	}
	if _, err := c.policy(c.RegistryAddr); err != nil { // before anything is started or generated
		return err
	}
	log, closeLog, err := c.logger(r)
	if err != nil {
		return err
	}
	defer closeLog()
	if data == "" {
		notes := r.out
		if r.JSON {
			notes = r.errs
		}
		if data, err = c.generate(notes, sp); err != nil {
			return err
		}
	}
	st, err := c.start(r.ctx, log, sp, data)
	if err != nil {
		return err
	}
	if r.JSON {
		if err := st.addresses(r); err != nil {
			return st.abort(log, err)
		}
		return app.Run(r.ctx, log, stopTimeout, st.components...)
	}
	st.banner(r.out, c)
	w, err := st.newWatch(r.ctx, r.out, data)
	if err != nil {
		return st.abort(log, err)
	}
	return app.Run(r.ctx, log, stopTimeout, append(st.components, w.component())...)
}

// logName is the log's file in the store folder, where a person looks at the screen.
const logName = "churn.log"

// logger writes beside the output as for every command, unless a person looks at it: then the services' log goes to a file, begun anew at each
// start, and the screen is left to the lines that are for people.
func (c upCmd) logger(r *run) (log *slog.Logger, closeLog func(), err error) {
	f, ok := r.errs.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		log, err = r.logger()
		return log, func() {}, err
	}
	if err := os.MkdirAll(c.StoreDir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make store folder: %w", err)
	}
	file, err := os.Create(filepath.Join(c.StoreDir, logName))
	if err != nil {
		return nil, nil, fmt.Errorf("open log: %w", err)
	}
	fmt.Fprintf(r.errs, "log        %s\n", shown(file.Name()))
	log, err = app.NewLogger(file, r.LogLevel, r.LogFormat)
	return log, func() { _ = file.Close() }, err // nothing is buffered
}

// redacted is a list of server addresses without the passwords and tokens in them.
func redacted(urls string) string {
	list := strings.Split(urls, ",")
	for i, one := range list {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.User == nil {
			continue
		}
		if _, password := u.User.Password(); !password { // a lone name is a token
			u.User = url.User("xxxxx")
		}
		list[i] = u.Redacted()
	}
	return strings.Join(list, ",")
}

// addresses prints where everything is, for programs.
func (st *stack) addresses(r *run) error {
	return r.json(map[string]string{"model": st.spec.Name, "nats": redacted(st.url), "predict": "http://" + st.predict + "/predict",
		"registry": st.scheme + st.registry, "trainer": "http://" + st.trainer, "drift": "http://" + st.drift,
		"scorer": "http://" + st.scorer})
}

// abort stops what start started but nobody ran.
func (st *stack) abort(log *slog.Logger, err error) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Join(err, app.Run(ended, log, stopTimeout, st.components...))
}

// generate writes Telco-like data for the built-in spec that came without data, and says so.
func (c upCmd) generate(out io.Writer, sp *spec.Spec) (string, error) {
	if sp.Name != spec.Telco().Name {
		return "", fmt.Errorf("the spec %s names no dataset: give --data", sp.Name)
	}
	if err := os.MkdirAll(c.StoreDir, 0o755); err != nil {
		return "", fmt.Errorf("make store folder: %w", err)
	}
	path := filepath.Join(c.StoreDir, "generated.csv")
	if _, err := os.Stat(path); err == nil {
		fmt.Fprintf(out, "data       %s (generated Telco-like customers, from an earlier start)\n", path)
		return path, nil
	}
	if err := (generateCmd{Rows: generatedRows, Seed: 1, Regime: string(synth.Original), Output: path}).Run(nil); err != nil {
		return "", err
	}
	fmt.Fprintf(out, "data       %s: no --data given, so %d Telco-like customers were generated\n", path, generatedRows)
	return path, nil
}

// start starts the embedded server unless an external one is named, and makes the services. On an error everything started is stopped.
func (c upCmd) start(ctx context.Context, log *slog.Logger, sp *spec.Spec, data string) (*stack, error) {
	st := &stack{spec: sp, login: c.Login, url: c.NATS, scheme: c.scheme()}
	settings := connect.Settings{Login: c.Login, Artifacts: c.Artifacts, URL: c.NATS, StoreBytes: c.StoreBytes, Log: log}
	if c.NATS != "" {
		log.Info("using the NATS that --nats or CHURN_NATS names, and starting none", "url", redacted(c.NATS))
	} else {
		if err := st.serve(c, log); err != nil {
			return nil, err
		}
		settings.URL, settings.StoreBytes = st.url, st.server.StoreBytes()
	}
	undo := func(err error) error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if st.server != nil {
			err = errors.Join(err, st.server.Stop(ctx))
		}
		return err
	}
	connecting, cancel := context.WithTimeout(ctx, c.WaitForServer)
	defer cancel()
	st.process = newProcess(settings, c.Instance)
	if err := st.services(connecting, c, st.process, data); err != nil {
		if c.NATS != "" && connecting.Err() != nil {
			err = fmt.Errorf("%w (--nats or CHURN_NATS names %s, so no server was started here)", err, redacted(c.NATS))
		}
		return nil, undo(err)
	}
	return st, nil
}

// serve starts the embedded server as the first component, which makes it the last to stop.
func (st *stack) serve(c upCmd, log *slog.Logger) error {
	cfg := embedded.Config{Host: c.Host, Port: c.Port, StoreDir: filepath.Join(c.StoreDir, "nats"), StoreBytes: c.StoreBytes,
		User: c.User, Password: c.Password, Token: c.Token, Log: log, FlagPort: "--port", SyncAlways: c.Sync == "always"}
	if !cfg.SyncAlways {
		every, err := time.ParseDuration(c.Sync)
		if err != nil || every <= 0 {
			return fmt.Errorf("--sync %q: want a positive duration such as 1s, or always", c.Sync)
		}
		cfg.SyncInterval = every
	}
	server, err := embedded.Start(cfg)
	if err != nil {
		return err
	}
	st.server, st.url = server, server.URL()
	st.components = append(st.components, app.Component{Name: "nats", Run: func(ctx context.Context) error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return server.Stop(stop)
	}})
	return nil
}

func (st *stack) services(ctx context.Context, c upCmd, p *process, data string) error {
	t, ts, err := p.trainer(ctx, st.spec, data, c.TrainerAddr)
	if err != nil {
		return err
	}
	g, gs, err := p.registry(ctx, st.spec, c.RegistryAddr, c.guard)
	if err != nil {
		return err
	}
	i, is, err := p.inference(st.spec.Name, c.Addr, filepath.Join(c.StoreDir, "cache"), c.serving)
	if err != nil {
		return err
	}
	d, ds, err := p.drift(ctx, c.DriftAddr)
	if err != nil {
		return err
	}
	w, ws, err := p.scorer(ctx, c.ScorerAddr, c.scoring)
	if err != nil {
		return err
	}
	st.trainer, st.registry, st.predict, st.drift, st.scorer = ts.Addr(), gs.Addr(), is.Addr(), ds.Addr(), ws.Addr()
	st.components = append(st.components, t, g, i, d, w)
	return nil
}

// banner says where everything is and what to try.
func (st *stack) banner(w io.Writer, c upCmd) {
	bold := color.New(color.Bold).SprintFunc()
	where := "embedded, streams in " + filepath.Join(c.StoreDir, "nats")
	if st.server == nil {
		where = "external"
	}
	fmt.Fprintf(w, `%[1]s is up: model %[2]s

  predict    http://%[3]s/predict     POST a record; /docs to try it on a page, /openapi.json, /v2, /health and /metrics too
  registry   %[10]s%[4]s             experiments, runs, models, drift; MLflow clients too: %[11]s
  trainer    http://%[5]s/status      what it waits for; /health and /metrics too
  drift      http://%[6]s/status      what it last found; /health and /metrics too
  scorer     http://%[12]s/health      scores files (churn score --queue); /metrics too
  NATS       %[7]s  (%[8]s)

Try, in another terminal:

  %[9]s | curl -d @- http://%[3]s/predict
  nats%[13]s req predict.%[2]s "$(%[9]s)"
  nats%[13]s sub model.promoted
  churn status%[14]s

An empty store trains at once; stop with Ctrl-C.

`, bold("churn"), st.spec.Name, st.predict, st.registry, st.trainer, st.drift, redacted(st.url), where, c.specFlags.example(), st.scheme, c.guard.about(st.registry), st.scorer,
		unusual(" -s ", redacted(st.url), connect.DefaultURL),
		unusual(" --nats ", redacted(st.url), connect.DefaultURL)+unusual(" --trainer-url ", "http://"+st.trainer, "http://"+trainer.DefaultAddr))
}

// unusual is a flag with its value, empty where that is the default.
func unusual(flag, value, usual string) string {
	if value == usual {
		return ""
	}
	return flag + value
}

// example is the command that prints a record of the same model.
func (f specFlags) example() string {
	command := "churn example"
	if f.Spec != "" {
		command += " --spec " + shown(f.Spec)
	}
	if f.Data != "" {
		command += " --data " + shown(f.Data)
	}
	return command
}

// shown is a path as a person would type it: relative where that is shorter, and quoted where a shell needs it.
func shown(path string) string {
	if dir, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(dir, path); err == nil && len(rel) < len(path) {
			path = rel
		}
	}
	if strings.ContainsAny(path, " \t\n\"'`$&|;<>()*?[]#~!\\{}") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
