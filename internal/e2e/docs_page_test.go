//go:build browser

package e2e

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

// A person opens the page of a serving instance, scores the example, breaks it, and reads what is wrong beside the field.
func TestDocsPage(t *testing.T) {
	server := bustest.Start(t)
	promoteBundle(t, server.Connect(t))
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	instance := launch(t, t.TempDir(), "docs", program(t, "inference"), "--nats", server.URL(), "--store-bytes", strconv.FormatInt(server.StoreBytes(), 10),
		"--instance", "docs", "--addr", addr, "--cache-dir", "docs")
	serves(t, addr, 1, modeltest.Records(t, modeltest.Options{Rows: 50, Seed: 99})[0])

	b := browse(t, addr)
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
	instance.stop(t)
}
