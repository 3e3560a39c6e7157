package events_test

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

func asyncAPI(t *testing.T) node {
	t.Helper()
	var doc node
	require.NoError(t, yaml.Unmarshal(events.AsyncAPI(), &doc))
	return doc
}

// at returns the part of the document that the keys lead to.
func at(t *testing.T, doc node, keys ...string) node {
	t.Helper()
	for i, k := range keys {
		next, ok := doc[k].(node)
		require.True(t, ok, "nothing at %s", strings.Join(keys[:i+1], "/"))
		doc = next
	}
	return doc
}

// follow returns the part of the document that {"$ref": "#/..."} leads to, with the name it ends in.
func follow(t *testing.T, doc node, ref any) (string, node) {
	t.Helper()
	target, ok := ref.(node)["$ref"].(string)
	require.True(t, ok, "%v is no reference", ref)
	pointer, ok := strings.CutPrefix(target, "#/")
	require.True(t, ok, target)
	keys := strings.Split(pointer, "/")
	return keys[len(keys)-1], at(t, doc, keys...)
}

func TestAsyncAPIHasAChannelForEachKind(t *testing.T) {
	doc := asyncAPI(t)
	byAddress := map[string]node{}
	for name, c := range at(t, doc, "channels") {
		address := c.(node)["address"].(string)
		require.NotContains(t, byAddress, address, name)
		byAddress[address] = c.(node)
	}
	expect := func(address string, stream events.Stream, message, file string) node {
		c, ok := byAddress[address]
		require.True(t, ok, "no channel %s", address)
		delete(byAddress, address)
		require.Equal(t, string(stream), c["x-stream"], address)
		require.NotEmpty(t, c["title"], address)
		require.NotEmpty(t, c["description"], address)

		parameters := at(t, c, "parameters")
		names := regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(address, -1)
		require.Len(t, parameters, len(names), address)
		for _, n := range names {
			_, p := follow(t, doc, parameters[n[1]])
			require.NotEmpty(t, p["description"], n[1])
		}
		messages := at(t, c, "messages")
		require.Len(t, messages, 1, address)
		for _, ref := range messages {
			_, m := follow(t, doc, ref)
			require.Equal(t, message, m["name"])
			require.Equal(t, "application/json", m["contentType"])
			require.Equal(t, "./schema/"+file+".json", at(t, m, "payload")["$ref"])
			return m
		}
		return nil
	}
	last := map[events.Type]string{events.TypeExperimentChanged: "experiments", events.TypeRunTracked: "run", events.TypeArtifactStored: "owner",
		events.TypeModelLogged: "loggedModel"}
	for _, k := range events.Kinds() {
		parameter := cmp.Or(last[k.Type], "model")
		m := expect(k.Prefix()+".{"+parameter+"}", k.Stream, string(k.Type), string(k.Type))
		headers := at(t, m, "headers")
		require.Equal(t, "object", headers["type"])
		all := headers["allOf"].([]any)
		require.Len(t, all, 2, k.Type)
		name, _ := follow(t, doc, all[0])
		require.Equal(t, "cloudEventHeaders", name)
		require.Equal(t, string(k.Type), at(t, all[1].(node), "properties", events.HeaderType)["const"])
	}
	expect(events.DeadPrefix+".{stream}.{consumer}", events.Dead, "deadletter", "deadletter")
	require.Empty(t, byAddress, "channels of no kind")
}

func TestAsyncAPIHeadersAreThoseOfEncode(t *testing.T) {
	doc := asyncAPI(t)
	_, header, _ := encode(t, events.New("m", "s", "k", noon, sample(t, events.TypeRetrainRequested)))
	schema := at(t, doc, "components", "schemas", "cloudEventHeaders")
	var written, known []string
	for name := range header {
		written = append(written, name)
	}
	for name, p := range at(t, schema, "properties") {
		known = append(known, name)
		if fixed, ok := p.(node)["const"]; ok {
			require.Equal(t, header[name][0], fixed)
		}
	}
	require.ElementsMatch(t, written, schema["required"])
	require.ElementsMatch(t, append(written, events.HeaderScheduler, events.HeaderScheduleDue), known)
}

func TestAsyncAPIOperations(t *testing.T) {
	doc := asyncAPI(t)
	actions := map[string][]any{}
	for name, o := range at(t, doc, "operations") {
		o := o.(node)
		channel, c := follow(t, doc, o["channel"])
		require.Equal(t, fmt.Sprint(o["action"])+strings.ToUpper(channel[:1])+channel[1:], name)
		actions[channel] = append(actions[channel], o["action"])
		require.NotEmpty(t, o["summary"], name)
		messages := o["messages"].([]any)
		require.Len(t, messages, 1, name)
		message, _ := follow(t, doc, messages[0])
		require.Contains(t, at(t, c, "messages"), message, name)
	}
	for name := range at(t, doc, "channels") {
		require.ElementsMatch(t, []any{"send", "receive"}, actions[name], name)
		delete(actions, name)
	}
	require.Empty(t, actions)
}

func TestAsyncAPIStructure(t *testing.T) {
	doc := asyncAPI(t)
	require.Equal(t, "3.0.0", doc["asyncapi"])
	require.Equal(t, "application/json", doc["defaultContentType"])
	info := at(t, doc, "info")
	require.NotEmpty(t, info["title"])
	require.NotEmpty(t, info["version"])
	for name, s := range at(t, doc, "servers") {
		require.Equal(t, "nats", s.(node)["protocol"], name)
		require.NotEmpty(t, s.(node)["host"], name)
	}
	streams, _ := at(t, doc, "components", "parameters", "stream")["enum"].([]any)
	var want []any
	for _, s := range events.Streams() {
		want = append(want, string(s))
	}
	require.Equal(t, want, streams)

	// Every reference leads somewhere, and every component is referred to.
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case node:
			if ref, ok := v["$ref"].(string); ok {
				require.Len(t, v, 1, "something stands beside %s", ref)
				if file, ok := strings.CutPrefix(ref, "./"); ok {
					_, err := os.Stat(file)
					require.NoError(t, err)
				} else {
					follow(t, doc, v)
					used[ref] = true
				}
			}
			for _, item := range v {
				walk(item)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(doc)
	for kind := range at(t, doc, "components") {
		for name := range at(t, doc, "components", kind) {
			require.True(t, used["#/components/"+kind+"/"+name], "%s %s is used by nothing", kind, name)
		}
	}
}
