package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
)

var was = regexp.MustCompile(`name="was" value="([^"]+)"`)

func TestModelsAndVersionsAreDescribedOnTheirPages(t *testing.T) {
	r := newRig(t)
	_, err := r.CreateModel(t.Context(), registry.NewModel{Name: "a free/one", Actor: "ana"})
	require.NoError(t, err)
	_, err = r.CreateVersion(t.Context(), registry.NewVersion{Model: "a free/one", Source: "s3://elsewhere/model", Actor: "ana"})
	require.NoError(t, err)
	_, page := r.get("/models")
	model := regexp.MustCompile(`href="(/models/[^"]+)">a free/one`).FindStringSubmatch(page)[1]
	for _, path := range []string{model, model + "/versions/1"} {
		_, page := r.get(path)
		require.Contains(t, page, `href="`+path+`/edit"`)
		code, page := r.get(path + "/edit")
		require.Equal(t, http.StatusOK, code)
		first := was.FindStringSubmatch(page)[1]
		send := func(form url.Values, want int) string {
			code, location, page := r.post(path+"/edit", form)
			require.Equal(t, want, code, page)
			if code == http.StatusSeeOther {
				require.Equal(t, path+"?done=edit", location)
				_, page = r.get(location)
				require.Contains(t, page, "Done: the change is stored")
			}
			return page
		}
		page = send(url.Values{"what": {"describe"}, "was": {first}, "description": {"one <b>line</b>\r\nand another"}}, http.StatusSeeOther)
		require.Contains(t, page, "one &lt;b&gt;line&lt;/b&gt;\nand another")
		page = send(url.Values{"what": {"describe"}, "was": {first}, "description": {"typed long"}}, http.StatusConflict)
		require.Contains(t, page, "somebody else wrote another description")
		require.Contains(t, page, "typed long", "nothing that was typed is lost")
		page = send(url.Values{"what": {"describe"}, "was": {was.FindStringSubmatch(page)[1]}, "description": {""}}, http.StatusSeeOther)
		require.NotContains(t, page, "and another")

		page = send(url.Values{"what": {"tag"}, "key": {"team <x>"}, "value": {"ml"}}, http.StatusSeeOther)
		require.Contains(t, page, "team &lt;x&gt;")
		_, page = r.get(path + "/edit")
		require.Contains(t, page, `name="key" value="team &lt;x&gt;"`)
		page = send(url.Values{"what": {"untag"}, "key": {"team <x>"}}, http.StatusSeeOther)
		require.NotContains(t, page, "team &lt;x&gt;")

		send(url.Values{"what": {"tag"}, "key": {" "}}, http.StatusBadRequest)
		send(url.Values{}, http.StatusBadRequest)
		send(url.Values{"what": {"describe"}}, http.StatusConflict)
	}
	code, _, _ := r.post(model+"/versions/9/edit", url.Values{"what": {"tag"}, "key": {"k"}})
	require.Equal(t, http.StatusNotFound, code)
	code, _ = r.get("/models/nobody/edit")
	require.Equal(t, http.StatusNotFound, code)
	r.View(func(c *registry.Catalog, _ *registry.Fleet) {
		key, _ := c.Key("a free/one")
		require.Equal(t, access.Anonymous, c.Audit(key)[0].Actor)
	})
}
