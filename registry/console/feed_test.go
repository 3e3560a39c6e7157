package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/console"
)

// send returns the answer to a request.
func send(t *testing.T, client *http.Client, req *http.Request) (int, string) {
	t.Helper()
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// fact is one event of the feed.
type fact struct{ id, model, kind, html string }

// listen opens the feed and returns its facts until the test ends.
func (r *rig) listen(lastID string) <-chan fact {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+r.Addr()+"/events/stream", nil)
	require.NoError(r.t, err)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, resp.StatusCode)
	require.Equal(r.t, "text/event-stream", resp.Header.Get("Content-Type"))
	facts := make(chan fact, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(facts)
		var f fact
		in := bufio.NewScanner(resp.Body)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			switch name, value, _ := strings.Cut(in.Text(), ": "); name {
			case "id":
				f.id = value
			case "data":
				var data map[string]string
				if json.Unmarshal([]byte(value), &data) == nil {
					f.model, f.kind, f.html = data["model"], data["type"], data["html"]
				}
			case "":
				if f.id != "" {
					facts <- f
				}
				f = fact{}
			}
		}
	}()
	r.t.Cleanup(func() {
		cancel()
		_ = resp.Body.Close()
		<-done
	})
	return facts
}

// until collects facts through the first of a kind.
func until(t *testing.T, facts <-chan fact, kind string) []fact {
	t.Helper()
	var out []fact
	limit := time.After(10 * time.Second)
	for {
		select {
		case f, ok := <-facts:
			require.True(t, ok, "the feed ended before %s: %v", kind, out)
			if out = append(out, f); f.kind == kind {
				return out
			}
		case <-limit:
			require.Fail(t, "no "+kind, "%v", out)
		}
	}
}

func TestTheFeedResumesWhereTheBrowserWas(t *testing.T) {
	r := newRig(t)
	facts := r.listen("")
	r.complete(modeltest.Options{Seed: 1})
	seen := until(t, facts, "model.promoted")
	var kinds []string
	for _, f := range seen {
		kinds = append(kinds, f.kind)
		require.Equal(t, churn, f.model)
	}
	require.Equal(t, []string{"run.completed", "model.registered", "model.gated", "model.promoted"}, kinds)
	require.Contains(t, seen[3].html, "version 1 is Production (gate)")

	again := until(t, r.listen(seen[1].id), "model.promoted")
	require.Equal(t, seen[2:], again, "what came after the last one seen, once")

	r.loads("west", r.production(1))
	loaded := until(t, facts, "model.loaded")
	require.NotContains(t, loaded, "instance.alive", "signs of life are no news")
	require.Contains(t, loaded[len(loaded)-1].html, "west serves version 1")
	var all []string
	for from := r.listen("0-0-0-0"); len(all) < 5; {
		f, ok := <-from
		require.True(t, ok)
		all = append(all, f.kind)
	}
	require.ElementsMatch(t, append(kinds, "model.loaded"), all, "everything, in each stream's order")
	require.Empty(t, r.listen("99-99-99-99"), "a position beyond the ends is taken for now")
}

func TestAFeedEndsWithItsUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	users := func(names ...string) {
		text := "users:\n"
		for _, name := range names {
			text += fmt.Sprintf("  - name: %s\n    role: read\n    token_sha256: %s\n", name, access.TokenDigest(name))
		}
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	users("ana", "ben")
	policy, err := access.Load(path)
	require.NoError(t, err)
	r := newRig(t, func(c *registry.Config) {
		c.Access, c.Mounts = policy, []registry.Mount{console.MountWithBeat(20 * time.Millisecond)}
	})
	open := func(name string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.Addr()+"/events/stream", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+name)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	ana := open("ana")
	require.Equal(t, http.StatusOK, ana.StatusCode)
	for range console.FeedsEach - 1 {
		require.Equal(t, http.StatusOK, open("ana").StatusCode)
	}
	require.Equal(t, http.StatusServiceUnavailable, open("ana").StatusCode, "one user does not take everybody's feeds")
	ben := open("ben")
	require.Equal(t, http.StatusOK, ben.StatusCode)

	users("ben")
	require.NoError(t, policy.Reload())
	_, err = io.Copy(io.Discard, ana.Body)
	require.NoError(t, err, "it ended")
	in := bufio.NewReader(ben.Body)
	for beats := 0; beats < 3; {
		text, err := in.ReadString('\n')
		require.NoError(t, err, "ben's goes on")
		if strings.HasPrefix(text, ": alive") {
			beats++
		}
	}
}
