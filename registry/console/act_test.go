package console_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/tracking"
)

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// form is what a confirmation would post.
func form(t *testing.T, page string) url.Values {
	t.Helper()
	out := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		out.Set(m[1], m[2])
	}
	require.NotEmpty(t, out, "the page has a form: %s", page)
	return out
}

// two has version 1 in Production and version 2, which is not better, in Staging.
func two(t *testing.T, change ...func(*registry.Config)) *rig {
	t.Helper()
	r := newRig(t, change...)
	r.complete(modeltest.Options{Seed: 1})
	p := r.production(1)
	r.complete(modeltest.Options{Seed: 1, RunID: "same-again"})
	r.version(2)
	r.loads("west", p)
	return r
}

func TestPromotionAsksFirstAndRefusesAStalePage(t *testing.T) {
	r := two(t)
	r.shows("/models/"+churn, "west")
	const path = "/models/" + churn + "/versions/2/stage"
	code, page := r.get(path + "?to=Production")
	require.Equal(t, http.StatusOK, code)
	for _, want := range []string{"Version 2 goes from Staging to Production", "Version 1, Production now, is replaced", "Alias champion moves from version 1 to version 2",
		"1 live instance will load it", "f1_churn &gt; production", "not passed", "needed"} {
		require.Contains(t, page, want)
	}
	stale := form(t, page)
	require.Equal(t, "1", stale.Get("expected"))

	asked := form(t, page)
	asked.Set("override", "1")
	code, _, page = r.post(path, asked)
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, page, "An override needs a reason")
	require.Equal(t, 1, r.production(1).Version, "nothing happened")

	asked.Set("reason", "the pilot asked for <it>")
	code, location, _ := r.post(path, asked)
	require.Equal(t, http.StatusSeeOther, code)
	require.Equal(t, "/models/"+churn+"/versions/2?done=stage", location)
	p := r.production(2)
	require.Equal(t, "the pilot asked for <it>", p.Reason)
	require.Equal(t, access.Anonymous, p.Actor)
	_, page = r.get(location)
	require.Contains(t, page, "Done: the stage was changed")
	_, page = r.get("/models/" + churn)
	require.Contains(t, page, "the pilot asked for &lt;it&gt;")

	// The page of before says that version 1 is Production.
	stale.Set("to", "Production")
	stale.Set("override", "1")
	stale.Set("reason", "late")
	code, _, page = r.post("/models/"+churn+"/versions/1/stage", stale)
	require.Equal(t, http.StatusConflict, code)
	require.Contains(t, page, "the page was out of date")
	require.Contains(t, page, "Version 2, Production now, is replaced", "it shows what would change now")
	require.Equal(t, "2", form(t, page).Get("expected"))
	require.Equal(t, 2, r.production(2).Version)
}

func TestRollbackGoesBackOnce(t *testing.T) {
	r := two(t)
	_, page := r.get("/models/" + churn + "/rollback")
	require.Contains(t, page, "There is no earlier Production")
	_, page = r.get("/models/" + churn + "/versions/2/stage?to=Production")
	asked := form(t, page)
	asked.Set("override", "1")
	asked.Set("reason", "try")
	code, _, _ := r.post("/models/"+churn+"/versions/2/stage", asked)
	require.Equal(t, http.StatusSeeOther, code)
	r.production(2)

	_, page = r.get("/models/" + churn + "/rollback")
	require.Contains(t, page, "Version 1 is Production again, in place of version 2")
	require.Contains(t, page, `name="target" value="1" checked`)
	back := form(t, page)
	back.Set("target", "1")
	back.Set("reason", "worse on calls")
	code, location, _ := r.post("/models/"+churn+"/rollback", back)
	require.Equal(t, http.StatusSeeOther, code)
	require.Equal(t, "/models/"+churn+"?done=rollback", location)
	require.Equal(t, "worse on calls", r.production(1).Reason)
	code, _, page = r.post("/models/"+churn+"/rollback", back)
	require.NotEqual(t, http.StatusSeeOther, code, "the second press of the same button does nothing")
	require.Contains(t, page, `role="alert"`)
	require.Equal(t, 1, r.production(1).Version)
}

func TestAliasesMoveAfterAQuestion(t *testing.T) {
	r := two(t)
	path := "/models/" + churn + "/versions/2/alias"
	code, page := r.get(path + "?name=shadow")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, page, "Alias shadow is new and points at version 2")
	asked := form(t, page)
	code, _, _ = r.post(path, asked)
	require.Equal(t, http.StatusSeeOther, code)
	r.shows("/models/"+churn+"/versions/2", "shadow")
	code, _, page = r.post("/models/"+churn+"/versions/1/alias", asked)
	require.Equal(t, http.StatusConflict, code)
	require.Contains(t, page, "Alias shadow points at version 2 by now")
	_, page = r.get(path + "?name=shadow&remove=1")
	code, _, _ = r.post(path, form(t, page))
	require.Equal(t, http.StatusSeeOther, code)
	_, page = r.get("/models/" + churn + "/versions/2")
	require.NotContains(t, page, `<span class="alias">shadow`)
	code, _ = r.get(path + "?name=")
	require.Equal(t, http.StatusBadRequest, code)
}

func TestAModelWithoutGatesKeepsItsStagesAsLabels(t *testing.T) {
	r := newRig(t)
	_, err := r.CreateModel(t.Context(), registry.NewModel{Name: "a free/one", Actor: "ana"})
	require.NoError(t, err)
	run, err := r.Tracking().CreateRun(t.Context(), tracking.NewRun{ExperimentID: "0"})
	require.NoError(t, err)
	root, _ := tracking.PathOf(run.ArtifactURI)
	for i, name := range []string{"one", "two"} {
		ref, err := artifact.PutBytes(t.Context(), r.store, []byte(name))
		require.NoError(t, err)
		require.NoError(t, r.Tracking().PutFile(t.Context(), root+"/"+name+"/notes.txt", ref, "ana"))
		v, err := r.CreateVersion(t.Context(), registry.NewVersion{Model: "a free/one", Source: run.ArtifactURI + "/" + name, RunID: run.ID, Actor: "ana"})
		require.NoError(t, err)
		require.Equal(t, i+1, v.Version)
	}
	_, page := r.get("/models")
	path := regexp.MustCompile(`href="(/models/[^"]+)">a free/one`).FindStringSubmatch(page)[1]
	promote := func(version string, change func(url.Values)) string {
		code, page := r.get(path + "/versions/" + version + "/stage?to=Production")
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, page, "No instance can serve it", "which it says, and goes on")
		require.NotContains(t, page, `name="override"`)
		asked := form(t, page)
		change(asked)
		code, _, answer := r.post(path+"/versions/"+version+"/stage", asked)
		require.Equal(t, http.StatusSeeOther, code, answer)
		return page
	}
	promote("1", func(url.Values) {})
	page = promote("2", func(url.Values) {})
	require.Contains(t, page, "it stays beside it unless existing ones are archived")
	_, page = r.get(path)
	require.Equal(t, 2, strings.Count(page, ">Production</span>"), "both stand in Production")
	require.Contains(t, page, "version 1, which stays")
	require.NotContains(t, page, "churn inference", "nothing could serve it")
	_, page = r.get("/events")
	require.Contains(t, page, "version 2 is Production too, beside 1")
	_, page = r.get(path + "/versions/2")
	require.Contains(t, page, "no gates: its stages are labels")
	require.Contains(t, page, "notes.txt")
	code, _ := r.get(path + "/diff?a=1&b=2")
	require.Equal(t, http.StatusOK, code)
	code, page = r.get(path + "/versions/1/stage?to=Staging")
	require.Equal(t, http.StatusOK, code)
	code, _, _ = r.post(path+"/versions/1/stage", form(t, page))
	require.Equal(t, http.StatusSeeOther, code)
	_, page = r.get(path + "/versions/1")
	require.Contains(t, page, ">Staging</span>")
}

func TestNamesOfAnyLengthAndScriptHaveWorkingPages(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{strings.Repeat("a", 250), strings.Repeat("п", 125), "=YQ", "..", "a/b c?d#e%2F"} {
		_, err := r.CreateModel(t.Context(), registry.NewModel{Name: name, Actor: "ana"})
		require.NoError(t, err, name)
		_, err = r.CreateVersion(t.Context(), registry.NewVersion{Model: name, Source: "s3://elsewhere/model", Actor: "ana"})
		require.NoError(t, err, name)
		_, page := r.get("/models?q=" + url.QueryEscape(name))
		links := regexp.MustCompile(`href="(/models/[^"]+)">` + regexp.QuoteMeta(html.EscapeString(name)) + "<").FindStringSubmatch(page)
		require.NotNil(t, links, name)
		code, page := r.get(links[1])
		require.Equal(t, http.StatusOK, code, name)
		found := 0
		for _, m := range href.FindAllStringSubmatch(page, -1) {
			if link := html.UnescapeString(m[1]); strings.HasPrefix(link, links[1]) {
				code, _ := r.get(link)
				require.Equal(t, http.StatusOK, code, link)
				found++
			}
		}
		require.GreaterOrEqual(t, found, 2, "history and the version: %s", name)
		code, page = r.get(links[1] + "/versions/1/stage?to=Production")
		require.Equal(t, http.StatusOK, code, name)
		code, location, answer := r.post(links[1]+"/versions/1/stage", form(t, page))
		require.Equal(t, http.StatusSeeOther, code, answer)
		code, _ = r.get(location)
		require.Equal(t, http.StatusOK, code, location)
	}
}

func TestFormsRefuseWhatIsNoForm(t *testing.T) {
	r := two(t)
	for _, f := range []url.Values{{}, {"to": {"Production"}}, {"to": {"Production"}, "expected": {"-1"}}, {"to": {"Nowhere"}, "expected": {"1"}}, {"to": {"Production"}, "expected": {"x"}}} {
		code, _, page := r.post("/models/"+churn+"/versions/2/stage", f)
		require.Equal(t, http.StatusBadRequest, code, fmt.Sprint(f))
		require.Contains(t, page, "<h1>", "it is told on a page")
	}
	code, _, _ := r.post("/models/"+churn+"/rollback", url.Values{"expected": {"1"}})
	require.Equal(t, http.StatusBadRequest, code)
	code, _, _ = r.post("/models/"+churn+"/versions/9/stage", url.Values{"expected": {"1"}, "to": {"Staging"}})
	require.Equal(t, http.StatusNotFound, code)
	require.Equal(t, 1, r.production(1).Version)
}

func TestRolesDecideWhoMayPromote(t *testing.T) {
	users := policy(t)
	r := two(t, func(c *registry.Config) { c.Access = users })
	ask := func(role access.Role, method, path, body string, header ...string) (int, string) {
		req, err := http.NewRequestWithContext(context.Background(), method, "http://"+r.Addr()+path, strings.NewReader(body))
		require.NoError(t, err)
		if role != "" {
			req.Header.Set("Authorization", "Bearer "+string(role))
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		return send(t, client, req)
	}
	const path = "/models/" + churn + "/versions/2/stage"
	code, _ := ask("", "GET", "/models", "")
	require.Equal(t, http.StatusUnauthorized, code)
	code, page := ask(access.Read, "GET", path+"?to=Production", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, page, "This needs the role promote")
	require.NotContains(t, page, `method="post"`)
	forms := []string{"Promote…", "Roll back…", "Look first…", "take away…"}
	for role, may := range map[access.Role]bool{access.Read: false, access.Log: false, access.Register: false, access.Promote: true} {
		_, page = ask(role, "GET", "/models/"+churn+"/versions/1", "")
		_, second := ask(role, "GET", "/models/"+churn+"/versions/2", "")
		for _, f := range forms {
			require.Equal(t, may, strings.Contains(page+second, f), "%s: %s", role, f)
		}
		require.Equal(t, role != access.Read && role != access.Log, strings.Contains(page, "Describe…"), role)
		require.Contains(t, page, "Compare with version", "reading needs no more than the role %s", role)
	}
	good := "to=Production&expected=1&override=1&reason=x"
	for _, role := range []access.Role{access.Read, access.Log, access.Register} {
		code, page = ask(role, "POST", path, good)
		require.Equal(t, http.StatusForbidden, code, role)
		require.Contains(t, page, "Not permitted")
	}
	const edit = "/models/" + churn + "/versions/2/edit"
	code, page = ask(access.Log, "GET", edit, "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, page, "This needs the role register")
	require.NotContains(t, page, `method="post"`)
	code, _ = ask(access.Log, "POST", edit, "what=tag&key=k&value=v")
	require.Equal(t, http.StatusForbidden, code)
	code, _ = ask(access.Register, "POST", edit, "what=tag&key=k&value=v")
	require.Equal(t, http.StatusSeeOther, code)
	code, _ = ask(access.Promote, "POST", path, good, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, code, "another site's form is refused")
	require.Equal(t, 1, r.production(1).Version)
	code, _ = ask(access.Promote, "POST", path, good, "Sec-Fetch-Site", "same-origin")
	require.Equal(t, http.StatusSeeOther, code)
	require.Equal(t, "promote-user", r.production(2).Actor)
}
