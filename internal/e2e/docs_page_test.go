//go:build browser

package e2e

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// A person opens the page of a serving instance, scores the example, breaks it, and reads what is wrong beside the field.
func TestDocsPage(t *testing.T) {
	server := bustest.Start(t)
	own := server.Connect(t)
	promoteBundle(t, own)
	c := inference.DefaultConfig()
	c.Addr, c.Instance, c.Log = "127.0.0.1:0", "docs", slog.New(slog.NewTextHandler(io.Discard, nil))
	c.Model, c.Metrics, c.Health = model, app.NewRegistry(), app.NewHealth()
	c.Dial = func(ctx context.Context) (*bus.Bus, artifact.Store, error) {
		b, err := bus.Connect(ctx, bus.Config{URL: server.URL(), Name: "docs", StoreBytes: server.StoreBytes()})
		if err != nil {
			return nil, nil, err
		}
		t.Cleanup(func() { _ = b.Close(context.Background()) })
		store, err := objstore.Open(ctx, b.JetStream(), objstore.DefaultConfig())
		return b, store, err
	}
	s, err := inference.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-ended) }()
	bustest.Eventually(t, func() bool { return c.Health.Ready() }, "the instance serves")

	b := browse(t, s.Addr())
	b.open("/docs")
	b.titled(model)
	b.shows("#fields", "MonthlyCharges")
	b.shows("#fields", "Contract")
	b.shows("#paths", "/v2/models/{model}/infer")
	b.mark()
	b.do(chromedp.Click("button[type=submit]", chromedp.NodeVisible))
	b.shows("#score", "probability 0.")
	b.shows("#reasons", "the score by")
	b.shows("#status", "200")
	for _, scheme := range []string{"light", "dark"} {
		b.picture("", 390, scheme, 844)
		b.picture("", 1280, scheme, 900)
	}
	set := func(column, value string) {
		var found bool
		b.do(chromedp.Evaluate(`(() => { const l = [...document.querySelectorAll("#fields label")].find((l) => l.firstChild.data === "`+column+`");
			if (l) l.control.value = "`+value+`"; return !!l; })()`, &found))
		require.True(t, found, column)
	}
	set("tenure", "")
	b.do(chromedp.Click("button[type=submit]", chromedp.NodeVisible))
	b.shows("#request", `"tenure": null`)
	b.shows("#status", "200")
	set("tenure", "often")
	b.do(chromedp.Click("button[type=submit]", chromedp.NodeVisible))
	b.shows("#status", "422")
	b.shows("#fields", "want a number")
	var rest string
	b.do(chromedp.Evaluate(`document.querySelector("#score").innerText`, &rest))
	require.Empty(t, strings.TrimSpace(rest))
	b.do(chromedp.Click("#reset", chromedp.NodeVisible), chromedp.Click("button[type=submit]", chromedp.NodeVisible))
	b.shows("#score", "probability 0.")
	b.same()
	b.mu.Lock() // an answer of 422 is what was asked for; the browser logs it
	kept := b.faults[:0]
	for _, f := range b.faults {
		if !strings.Contains(f, "422") {
			kept = append(kept, f)
		}
	}
	b.faults = kept
	b.mu.Unlock()
}
