//go:build browser

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/synth"
)

var screenshots = flag.Bool("screenshots", false, "write docs/screenshots anew")

// browser is a headless Chromium. Whatever it complains of fails the test.
type browser struct {
	t       *testing.T
	ctx     context.Context
	address string

	mu     sync.Mutex
	faults []string
}

// browse starts a browser that ends with the test.
func browse(t *testing.T, address string) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	require.NotEmpty(t, program, "no chromium or google-chrome on the PATH: install one, or leave the build tag browser out")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.WindowSize(1280, 900))
	allocated, free := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(free)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, address: address}
	chromedp.ListenTarget(ctx, func(ev any) {
		fault := ""
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			fault = e.ExceptionDetails.Error()
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				fault = fmt.Sprintf("console %s: %v", e.Type, e.Args)
			}
		case *cdplog.EventEntryAdded:
			if e.Entry.Level == cdplog.LevelError {
				fault = fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
			}
		}
		if fault != "" {
			b.mu.Lock()
			b.faults = append(b.faults, fault)
			b.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.faults) > 0 {
			t.Errorf("the browser complains:\n%s", strings.Join(b.faults, "\n"))
		}
	})
	require.NoError(t, chromedp.Run(ctx, cdplog.Enable(), runtime.Enable())) // the first call starts it, so it has no time limit of its own
	return b
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(b.t, chromedp.Run(ctx, actions...))
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate("http://" + b.address + path))
}

// follow clicks on what an XPath or selector names and waits for a page whose title holds some words.
func (b *browser) follow(what, title string) {
	b.t.Helper()
	b.do(chromedp.Click(what, chromedp.NodeVisible))
	b.titled(title)
}

func (b *browser) titled(words string) {
	b.t.Helper()
	await(b.t, patience, "a page titled "+words, func() error {
		var title, state string
		if err := chromedp.Run(b.ctx, chromedp.Title(&title), chromedp.Evaluate("document.readyState", &state)); err != nil {
			return err
		}
		if !strings.Contains(title, words) || state != "complete" {
			return fmt.Errorf("the title is %q, the page %s", title, state)
		}
		return nil
	})
}

// shows waits until an element of the page, which is not loaded anew, holds some words.
func (b *browser) shows(selector, words string) {
	b.t.Helper()
	await(b.t, patience, selector+" shows "+words, func() error {
		var text string
		script := fmt.Sprintf("(document.querySelector(%q) || {}).innerText || ''", selector)
		if err := chromedp.Run(b.ctx, chromedp.Evaluate(script, &text)); err != nil {
			return err
		}
		if !strings.Contains(text, words) {
			return fmt.Errorf("it shows %q", text)
		}
		return nil
	})
}

// mark marks the page, and same checks that it is still the one that was marked.
func (b *browser) mark() {
	b.t.Helper()
	b.do(chromedp.Evaluate("window.marked = true", nil))
}

func (b *browser) same() {
	b.t.Helper()
	var marked bool
	b.do(chromedp.Evaluate("window.marked === true", &marked))
	require.True(b.t, marked, "the page was loaded anew")
}

// picture is taken of the page as a viewer of a width in light or dark sees it. Nothing but a table or a chart in its own box may be wider than the page.
func (b *browser) picture(name string, width int64, scheme string, height int64) {
	b.t.Helper()
	var image []byte
	var wide bool
	b.do(
		emulation.SetDeviceMetricsOverride(width, height, 1, width < 500),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.Evaluate("document.documentElement.scrollWidth > window.innerWidth", &wide),
		chromedp.CaptureScreenshot(&image),
		emulation.ClearDeviceMetricsOverride(), emulation.SetEmulatedMedia(),
	)
	require.False(b.t, wide, "%q is wider than the screen", name)
	require.NotEmpty(b.t, image)
	if *screenshots && name != "" {
		require.NoError(b.t, os.MkdirAll(filepath.Join("..", "..", "docs", "screenshots"), 0o755))
		require.NoError(b.t, os.WriteFile(filepath.Join("..", "..", "docs", "screenshots", name+".png"), image, 0o644))
	}
}

// tune logs an experiment of some runs as a client would, and returns its name.
func tune(t *testing.T, address string, runs int) string {
	t.Helper()
	type object = map[string]any
	call := func(path string, in object) object {
		t.Helper()
		body, err := json.Marshal(in)
		require.NoError(t, err)
		resp, err := client.Post("http://"+address+"/api/2.0/mlflow/"+path, "application/json", bytes.NewReader(body))
		require.NoError(t, err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", path, answer)
		out := object{}
		require.NoError(t, json.Unmarshal(answer, &out))
		return out
	}
	const name = "lightgbm-tuning"
	experiment := call("experiments/create", object{"name": name, "tags": []object{{"key": "mlflow.note.content", "value": "Depth and learning rate of the churn model."}}})["experiment_id"]
	for i := range runs {
		start := time.Now().Add(-time.Duration(i+1) * 47 * time.Minute).UnixMilli()
		run := call("runs/create", object{"experiment_id": experiment, "run_name": fmt.Sprintf("trial-%02d", i+1), "user_id": "ana", "start_time": start,
			"tags": []object{{"key": "mlflow.source.name", "value": "tune.py"}, {"key": "mlflow.source.git.commit", "value": "4f2a9c1d7be0563aa8c1e2f90b7d3c5566aa1b20"}}})
		id := run["run"].(object)["info"].(object)["run_id"]
		depth, rate := 3+i%5, 0.02*float64(1+i%6)
		var metrics []object
		for step := range 60 {
			fade := math.Exp(-float64(step) * rate / 2)
			metrics = append(metrics, object{"key": "valid_logloss", "value": 0.41 + 0.28*fade + 0.004*float64(depth)*(1-fade), "step": step, "timestamp": start + int64(step)*1500})
		}
		metrics = append(metrics, object{"key": "roc_auc", "value": 0.845 - 0.004*math.Abs(float64(depth)-5) - 0.02*math.Abs(rate-0.06), "step": 0, "timestamp": start},
			object{"key": "f1_churn", "value": 0.61 - 0.008*math.Abs(float64(depth)-5) - 0.05*math.Abs(rate-0.08), "step": 0, "timestamp": start})
		call("runs/log-batch", object{"run_id": id, "metrics": metrics, "params": []object{
			{"key": "depth", "value": fmt.Sprint(depth)}, {"key": "learning_rate", "value": fmt.Sprintf("%.2f", rate)}, {"key": "objective", "value": "binary"}}})
		call("runs/update", object{"run_id": id, "status": "FINISHED", "end_time": start + 93_000})
	}
	return name
}

// TestConsole walks through the pages as a person does: from the experiment to a run, over two compared runs to a version, which is promoted, seen on the
// live feed and on the instances, and rolled back.
func TestConsole(t *testing.T) {
	e := up(t)
	record := customers(t, 1)[0].record
	experiment := tune(t, e.registry, 12)
	shifted := filepath.Join(e.dir, "shifted.csv")
	writeData(t, shifted, synth.Config{Rows: 1500, Seed: 7, Regime: synth.Shifted, IDPrefix: "s-"})
	e.cli(t, "replay", shifted, "--no-labels", "--rate", "2000", "--predict-url", "http://"+e.addr+"/predict")
	e.cli(t, "train", "--target", "staging")

	b := browse(t, e.registry)
	b.open("/")
	b.titled("Registry")
	b.follow(`//main//a[text()="`+experiment+`"]`, experiment)
	b.picture("runs", 1280, "light", 720)
	b.follow(`//a[text()="trial-03"]`, "trial-03")
	b.shows("main", "FINISHED")
	b.picture("run", 1280, "light", 900)
	b.do(chromedp.Click(`//nav[@class="crumbs"]//a[text()="` + experiment + `"]`))
	b.titled(experiment)
	for _, run := range []string{"trial-02", "trial-03", "trial-04"} {
		b.do(chromedp.Click(`input[aria-label="Compare ` + run + `"]`))
	}
	b.follow(`//button[text()="Compare"]`, "Compare runs")
	b.shows("main", "learning_rate ≠")
	b.do(chromedp.ScrollIntoView(".charts"))
	b.picture("compare", 1280, "dark", 900)

	// Two more people look on; a tab in the background would not be live.
	feed := browse(t, e.registry)
	feed.open("/events")
	feed.shows("#live", "live")
	feed.mark()
	model := browse(t, e.registry)
	model.open("/models/telco-churn")
	model.shows("#instances", "version 1")
	model.mark()

	b.follow(`//header//a[text()="Models"]`, "Models")
	b.follow(`//main//a[text()="telco-churn"]`, "telco-churn")
	b.follow(`//section//a[text()="2"]`, "telco-churn version 2")
	b.picture("version", 1280, "light", 900)
	b.follow(`//a[text()="Promote…"]`, "Promote version 2")
	b.shows("main", "Version 1, Production now, is replaced")
	b.shows("main", "1 live instance will load it")
	b.picture("promote", 1280, "light", 720)
	var override bool
	b.do(chromedp.Evaluate(`document.querySelector("[name=override]") !== null`, &override))
	if override {
		b.do(chromedp.Click(`[name=override]`))
	}
	b.do(chromedp.SendKeys(`[name=reason]`, "the pilot group does better"))
	b.follow(`//button[text()="Promote version 2"]`, "telco-churn version 2")
	b.shows("main", "Done: the stage was changed")

	feed.shows("#feed", "version 2 is Production in place of 1 (manual)")
	feed.shows("#feed", "serves version 2")
	feed.same()
	feed.picture("events", 1280, "dark", 720)
	model.shows("#instances", "version 2")
	model.shows("#state", "version 2")
	model.shows("#promotions", "the pilot group does better")
	model.same()
	model.picture("model", 1280, "light", 900)
	model.picture("phone", 390, "dark", 844)
	serves(t, e.addr, 2, record)

	b.follow(`//a[text()="Roll back…"]`, "Roll telco-churn back")
	b.shows("main", "Version 1 is Production again, in place of version 2")
	b.do(chromedp.SendKeys(`[name=reason]`, "worse in the call centre"))
	b.follow(`//button[text()="Roll back to version 1"]`, "telco-churn")
	b.shows("main", "Done: the earlier version is Production again")
	feed.shows("#feed", "rolled back from version 2 to 1")
	model.shows("#instances", "version 1")
	model.shows("#promotions", "worse in the call centre")
	model.same()
	serves(t, e.addr, 1, record)

	b.follow(`//header//a[text()="Drift"]`, "Drift")
	b.follow(`//main//a[text()="telco-churn"]`, "Drift of telco-churn")
	b.shows("main", "MonthlyCharges")
	b.picture("drift", 1280, "dark", 900)
	for _, path := range []string{"/", "/experiments", "/models/telco-churn/versions/1", "/models/telco-churn/audit", "/models/telco-churn/diff?a=1&b=2", "/drift/telco-churn", "/events"} {
		b.open(path)
		b.picture("", 390, "light", 844)
	}
}
