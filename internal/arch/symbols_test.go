package arch

import (
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"go/ast"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unlinked is what the serving binary must not hold: functions, with their closures and instances, and whole packages.
var unlinked = struct{ functions, packages []string }{
	functions: []string{module + "/model/gbdt.Train", module + "/model/gbdt.TrainData", module + "/model/feature.Fit", module + "/model/feature.FitTransform", module + "/model/calibrate.Fit"},
	packages: []string{module + "/trainer", module + "/registry", module + "/drift", module + "/internal/bus/embedded",
		"github.com/nats-io/nats-server", "gonum.org/v1/plot"},
}

// unwelcome reports whether a linker symbol belongs to what is unlinked.
func unwelcome(symbol string) bool {
	for _, f := range unlinked.functions {
		if rest, ok := strings.CutPrefix(symbol, f); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	for _, p := range unlinked.packages {
		if rest, ok := strings.CutPrefix(symbol, p); ok && rest != "" && (rest[0] == '.' || rest[0] == '/') {
			return true
		}
	}
	return false
}

func TestUnwelcomeSymbols(t *testing.T) {
	for symbol, want := range map[string]bool{
		"telco-churn-mlops/model/gbdt.Train":                                true,
		"telco-churn-mlops/model/gbdt.Train.func1":                          true,
		"telco-churn-mlops/model/gbdt.Train[go.shape.int]":                  true,
		"telco-churn-mlops/model/gbdt.TrainingLoss":                         false,
		"telco-churn-mlops/model/gbdt.(*Ensemble).Margin":                   false,
		"telco-churn-mlops/model/feature.Fit":                               true,
		"telco-churn-mlops/model/feature.FitsInto":                          false,
		"telco-churn-mlops/trainer.New":                                     true,
		"telco-churn-mlops/registry/mlflow.New":                             true,
		"telco-churn-mlops/drift.(*Service).Run":                            true,
		"telco-churn-mlops/inference.New":                                   false,
		"telco-churn-mlops/internal/bus/embedded.Start":                     true,
		"github.com/nats-io/nats-server/v2/server.NewServer":                true,
		"github.com/nats-io/nats.go.Connect":                                false,
		"type:.eq.github.com/nats-io/nats.go.Msg":                           false,
		"telco-churn-mlops/internal/bus.New":                                false,
		"github.com/nats-io/nats-server/v2/server.(*client).processInbound": true,
	} {
		require.Equal(t, want, unwelcome(symbol), symbol)
	}
}

// symbols returns the names in a binary's symbol table.
func symbols(binary string) ([]string, error) {
	var names []string
	e, elfErr := elf.Open(binary)
	if elfErr == nil {
		defer e.Close()
		all, err := e.Symbols()
		for _, s := range all {
			names = append(names, s.Name)
		}
		return names, err
	}
	m, machoErr := macho.Open(binary)
	if machoErr != nil {
		return nil, fmt.Errorf("neither ELF nor Mach-O: %w", errors.Join(elfErr, machoErr))
	}
	defer m.Close()
	if m.Symtab == nil {
		return nil, errors.New("no symbol table")
	}
	for _, s := range m.Symtab.Syms {
		names = append(names, strings.TrimPrefix(s.Name, "_"))
	}
	return names, nil
}

func TestServingLinksNeitherTrainingNorServer(t *testing.T) {
	declared := map[string]bool{}
	for _, s := range repository(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && !s.isTest() {
				declared[module+"/"+s.dir()+"."+f.Name.Name] = true
			}
		}
	}
	for _, f := range unlinked.functions {
		require.True(t, declared[f], "%s is declared nowhere: was it renamed?", f)
	}

	binary := filepath.Join(t.TempDir(), "inference")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=", "-o", binary, "./cmd/inference")
	build.Dir = root(t)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	names, err := symbols(binary)
	require.NoError(t, err)
	served := false
	for _, n := range names {
		require.False(t, unwelcome(n), "cmd/inference links %s", n)
		served = served || strings.HasPrefix(n, module+"/inference.")
	}
	require.True(t, served, "the symbol table does not even show the inference service")
}
