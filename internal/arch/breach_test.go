package arch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// synthetic sources, each with the rules it breaks. All rules look at each of them, so a rule that sees too much fails too.
var synthetic = []struct {
	name, path, text string
	breaks           []string
}{
	// Services.
	{"a service imports another", "trainer/x.go", `package trainer; import "telco-churn-mlops/registry"`, []string{"services do not import each other"}},
	{"a service's test imports another", "drift/x_test.go", `package drift_test; import "telco-churn-mlops/inference"`, []string{"services do not import each other"}},
	{"a service imports a part of another", "registry/mlflow/x.go", `package mlflow; import _ "telco-churn-mlops/drift/report"`, []string{"services do not import each other"}},
	{"a service imports what it may", "inference/x.go", `package inference; import ("telco-churn-mlops/model"; "telco-churn-mlops/events"; "telco-churn-mlops/internal/bus"; "net/http"; "time"); var now = time.Now`, nil},
	{"a service's test imports the service", "drift/x_test.go", `package drift_test; import "telco-churn-mlops/drift"`, nil},
	{"a service imports a part of its own", "registry/x.go", `package registry; import "telco-churn-mlops/registry/mlflow"`, nil},
	{"a name that only starts like a service", "trainer/x.go", `package trainer; import "telco-churn-mlops/registryview"`, nil},
	{"plumbing imports a service", "internal/bus/x.go", `package bus; import "telco-churn-mlops/drift"`, []string{"model, events and internal do not import services"}},
	{"model imports a service", "model/gbdt/x_test.go", `package gbdt; import "telco-churn-mlops/trainer"`, []string{"model, events and internal do not import services"}},
	{"events imports a service", "events/x_test.go", `package events; import "telco-churn-mlops/registry"`, []string{"model, events and internal do not import services"}},
	{"cmd imports services", "cmd/churn/x.go", `package main; import ("telco-churn-mlops/trainer"; "telco-churn-mlops/drift"; "flag"; "os"); var a = os.Args`, nil},
	{"a service imports cmd", "trainer/x.go", `package trainer; import "telco-churn-mlops/cmd/churn"`, []string{"nothing imports cmd or bench"}},
	{"cmd imports cmd", "cmd/churn/x_test.go", `package main; import "telco-churn-mlops/cmd/inference"`, []string{"nothing imports cmd or bench"}},
	{"cmd imports a benchmark", "cmd/churn/x.go", `package main; import "telco-churn-mlops/bench/learner"`, []string{"nothing imports cmd or bench"}},
	{"a benchmark imports another", "bench/serving/x.go", `package main; import "telco-churn-mlops/bench/learner"`, []string{"nothing imports cmd or bench"}},
	{"a benchmark imports what they share", "bench/serving/x.go", `package main; import "telco-churn-mlops/bench/measure"`, nil},
	{"a service imports what benchmarks share", "trainer/x.go", `package trainer; import "telco-churn-mlops/bench/measure"`, []string{"nothing imports cmd or bench"}},
	{"a benchmark has flags", "bench/learner/x.go", `package main; import ("flag"; "os"; "telco-churn-mlops/trainer"); var a = os.Args`, nil},

	// The standard library alone.
	{"events imports a library", "events/x.go", `package events; import "github.com/nats-io/nats.go"`, []string{"events, model/gbdt and model/eval import the standard library alone"}},
	{"events imports a package of ours", "events/x.go", `package events; import "telco-churn-mlops/model"`, []string{"events, model/gbdt and model/eval import the standard library alone"}},
	{"trees import a library", "model/gbdt/x.go", `package gbdt; import "gonum.org/v1/gonum/stat"`, []string{"events, model/gbdt and model/eval import the standard library alone"}},
	{"metrics import a part of model", "model/eval/x.go", `package eval; import "telco-churn-mlops/model/gbdt"`, []string{"events, model/gbdt and model/eval import the standard library alone"}},
	{"tests of events import libraries", "events/x_test.go", `package events; import "github.com/santhosh-tekuri/jsonschema/v6"`, nil},
	{"events embeds", "events/x.go", `package events; import ("embed"; "encoding/json"); var _ embed.FS; var _ json.RawMessage`, nil},
	{"cgo", "model/gbdt/x.go", `package gbdt; import "C"`, []string{"events, model/gbdt and model/eval import the standard library alone", "model imports no library that was not looked at", "model reaches no file, network or log"}},

	// The purity of model.
	{"model imports events", "model/x.go", `package model; import "telco-churn-mlops/events"`, []string{"model imports nothing else of this repository"}},
	{"model imports plumbing", "model/spec/x.go", `package spec; import "telco-churn-mlops/internal/app"`, []string{"model imports nothing else of this repository"}},
	{"model imports model", "model/x.go", `package model; import ("telco-churn-mlops/model/gbdt"; "github.com/cespare/xxhash/v2"; "github.com/goccy/go-yaml/ast")`, nil},
	{"model imports a library", "model/spec/x.go", `package spec; import "github.com/spf13/afero"`, []string{"model imports no library that was not looked at"}},
	{"model opens files", "model/dataset/x.go", `package dataset; import "os"`, []string{"model reaches no file, network or log"}},
	{"model runs programs", "model/dataset/x.go", `package dataset; import "os/exec"`, []string{"model reaches no file, network or log"}},
	{"model walks folders", "model/dataset/x.go", `package dataset; import fp "path/filepath"`, []string{"model reaches no file, network or log"}},
	{"model dials", "model/x.go", `package model; import "net/http"`, []string{"model reaches no file, network or log"}},
	{"model logs", "model/x.go", `package model; import "log"`, []string{"model reaches no file, network or log"}},
	{"model logs in a structured way", "model/feature/x.go", `package feature; import "log/slog"`, []string{"model reaches no file, network or log"}},
	{"model prints", "model/x.go", `package model; import "fmt"; func f() { fmt.Println() }`, []string{"model reaches no file, network or log"}},
	{"model prints with the builtin", "model/x.go", `package model; func f() { println() }`, []string{"model reaches no file, network or log"}},
	{"help for tests of model opens files", "model/modeltest/x.go", `package modeltest; import ("os"; "testing")`, []string{"model reaches no file, network or log"}},
	{"model formats", "model/x.go", `package model; import ("fmt"; "io"; "net2"; "logic"); func println() {}; func f() { println(); fmt.Fprintln(io.Discard) }`, nil},
	{"tests of model read files", "model/x_test.go", `package model; import ("os"; "time"; "log"); var now = time.Now()`, nil},
	{"model asks the time", "model/baseline/x.go", `package baseline; import "time"; func f() time.Time { return time.Now() }`, []string{"model reads no clock"}},
	{"model keeps a clock for later", "model/x.go", `package model; import "time"; var clock = time.Now`, []string{"model reads no clock"}},
	{"model measures", "model/x.go", `package model; import t "time"; func f(a t.Time) t.Duration { return t.Since(a) }`, []string{"model reads no clock"}},
	{"model sleeps", "model/x.go", `package model; import "time"; func f() { time.Sleep(1) }`, []string{"model reads no clock"}},
	{"model hides time behind a dot", "model/x.go", `package model; import . "time"; func f() { Sleep(1) }`, []string{"model reads no clock"}},
	{"model sets a timeout", "model/x.go", `package model; import ("context"; "time"); func f(c context.Context) { context.WithTimeout(c, time.Second) }`, []string{"model reads no clock"}},
	{"model is given a time", "model/x.go", `package model; import ("time"; "context"); type s struct{ Now int }; func f(at time.Time, c context.Context) { time := s{}; _ = time.Now; _ = at.Add(2) }`, nil},

	// Libraries with a package of their own.
	{"minio outside s3", "internal/artifact/x.go", `package artifact; import "github.com/minio/minio-go/v7"`, []string{"minio-go stays in internal/artifact/s3"}},
	{"minio's credentials in a test", "cmd/churn/x_test.go", `package main; import "github.com/minio/minio-go/v7/pkg/credentials"`, []string{"minio-go stays in internal/artifact/s3"}},
	{"minio below s3", "internal/artifact/s3/more/x.go", `package more; import "github.com/minio/minio-go/v7"`, []string{"minio-go stays in internal/artifact/s3"}},
	{"minio in s3", "internal/artifact/s3/x.go", `package s3; import "github.com/minio/minio-go/v7"`, nil},
	{"nats-server in the bus", "internal/bus/x.go", `package bus; import "github.com/nats-io/nats-server/v2/server"`, []string{"nats-server stays in internal/bus/embedded"}},
	{"nats-server in help for tests", "internal/bus/bustest/x.go", `package bustest; import "github.com/nats-io/nats-server/v2/server"`, []string{"nats-server stays in internal/bus/embedded"}},
	{"nats-server in a test behind a build tag", "registry/x_test.go", "//go:build slow\n\npackage registry; import \"github.com/nats-io/nats-server/v2/test\"", []string{"nats-server stays in internal/bus/embedded"}},
	{"nats-server where it belongs", "internal/bus/embedded/x.go", `package embedded; import "github.com/nats-io/nats-server/v2/server"`, nil},
	{"the client is no server", "internal/bus/x.go", `package bus; import "github.com/nats-io/nats.go"`, nil},

	// What ships.
	{"testing ships", "drift/x.go", `package drift; import "testing"`, []string{"what ships imports no testing"}},
	{"a part of testing ships", "drift/x.go", `package drift; import "testing/fstest"`, []string{"what ships imports no testing"}},
	{"testify ships", "internal/app/x.go", `package app; import "github.com/stretchr/testify/require"`, []string{"what ships imports no testing"}},
	{"a test server ships", "cmd/churn/x.go", `package main; import "net/http/httptest"`, []string{"what ships imports no testing"}},
	{"help for tests ships", "cmd/churn/x.go", `package main; import "telco-churn-mlops/internal/bus/bustest"`, []string{"what ships imports no testing"}},
	{"help for tests imports testing", "internal/bus/bustest/x.go", `package bustest; import ("testing"; "os"; "github.com/stretchr/testify/require"); var a = os.Getenv("A")`, nil},
	{"a service reads the environment", "registry/x.go", `package registry; import "os"; var a = os.Getenv("A")`, []string{"environment and flags are read in cmd, bench and internal/app"}},
	{"a service reads arguments", "registry/x.go", `package registry; import "os"; var a = os.Args[1]`, []string{"environment and flags are read in cmd, bench and internal/app"}},
	{"plumbing has flags", "internal/bus/x.go", `package bus; import "flag"`, []string{"environment and flags are read in cmd, bench and internal/app"}},
	{"app reads the environment", "internal/app/x.go", `package app; import "os"; var a, b = os.LookupEnv("A")`, nil},
	{"an init", "drift/x.go", `package drift; func init() {}`, []string{"no init, default mux or default registry"}},
	{"the default mux", "inference/x.go", `package inference; import "net/http"; func f() { http.HandleFunc("/", nil) }`, []string{"no init, default mux or default registry"}},
	{"the default registry", "inference/x.go", `package inference; import "github.com/prometheus/client_golang/prometheus"; func f() { prometheus.MustRegister() }`, []string{"no init, default mux or default registry"}},
	{"the default registry in disguise", "inference/x.go", `package inference; import "github.com/prometheus/client_golang/prometheus/promauto"; var c = promauto.NewCounter(o)`, []string{"no init, default mux or default registry"}},
	{"a registry that was given", "trainer/x.go", `package trainer; import "github.com/prometheus/client_golang/prometheus/promauto"; type s struct{}; func (s) init() {}; func f(r R, m *M) { promauto.With(r).NewCounter(o); m.HandleFunc("/", nil) }`, nil},

	// Names.
	{"a folder for everything", "internal/util/x.go", `package strs`, []string{"packages are named for what they hold"}},
	{"a package for everything", "internal/strs/x.go", `package common`, []string{"packages are named for what they hold"}},
	{"its test", "internal/strs/x_test.go", `package misc_test`, []string{"packages are named for what they hold"}},
	{"a package of types", "model/types/x.go", `package types`, []string{"packages are named for what they hold"}},
	{"a file may be named so", "registry/types.go", `package registry`, nil},
}

func TestEachRuleSeesItsBreaches(t *testing.T) {
	proven, spared := map[string]bool{}, map[string]bool{}
	for _, tt := range synthetic {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(tt.path, tt.path, tt.text)
			require.NoError(t, err)
			var broken []string
			for _, r := range rules {
				if !r.applies(s) {
					continue
				}
				if found := r.check(s); len(found) > 0 {
					broken = append(broken, r.name)
					proven[r.name] = true
					require.Positive(t, found[0].line)
					require.NotEmpty(t, found[0].says)
				} else {
					spared[r.name] = true
				}
			}
			require.ElementsMatch(t, tt.breaks, broken, "%s:\n%s", tt.path, tt.text)
		})
	}
	for _, r := range rules {
		require.True(t, proven[r.name], "no source breaks the rule %q", r.name)
		require.True(t, spared[r.name], "no source keeps the rule %q", r.name)
	}
}
