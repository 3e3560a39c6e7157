package console

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// editView is the page on which a model or a version is described and tagged.
type editView struct {
	frame
	Description string
	// Was names the description that the page was made with: what is posted is refused if there is another by then.
	Was     string
	Tags    []events.Pair
	Back    string
	Fault   string
	Allowed bool // the viewer has the role
	Needs   access.Role

	model   string // its name
	version int    // 0: the model itself
}

// editView reads what the path names, as it is now.
func (p *site) editView(r *request) (editView, error) {
	v := editView{frame: r.frame, Needs: access.Register}
	v.Area, v.Allowed = "models", r.frame.MayRegister
	key, err := p.findModel(r.PathValue("model"))
	if err != nil {
		return v, err
	}
	var m registry.Model
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) { m, _ = c.Model(key) })
	v.model, v.Description, v.Back, v.Title = m.Name, m.Description, modelPath(m.Name), "Describe "+m.Name
	v.Crumbs = []link{{Words: "Models", Href: "/models"}, {Words: m.Name, Href: v.Back}}
	tags := m.Tags
	if number := r.PathValue("version"); number != "" {
		found, err := p.findVersion(r.PathValue("model"), number)
		if err != nil {
			return v, err
		}
		row := versionRow{found, false}
		v.version, v.Description, v.Back, tags = found.Version, found.Description, row.Href(), found.Tags
		v.Title = "Describe version " + number + " of " + m.Name
		v.Crumbs = append(v.Crumbs, link{Words: "Version " + number, Href: v.Back})
	}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		v.Tags = append(v.Tags, events.Pair{Key: k, Value: tags[k]})
	}
	sum := sha256.Sum256([]byte(v.Description))
	v.Was = hex.EncodeToString(sum[:8])
	return v, nil
}

func (p *site) askEdit(r *request) (view, error) {
	v, err := p.editView(r)
	return view{template: "edit", data: v}, err
}

func (p *site) doEdit(r *request) (view, error) {
	v, err := p.editView(r)
	if err != nil {
		return view{}, err
	}
	if err := p.edit(r, v); err != nil {
		again, gone := p.editView(r)
		if gone != nil {
			return view{}, err
		}
		again.Fault = sentence(err.Error())
		if text := posted(r, "description"); text != "" {
			again.Description = text // what was typed is not lost
		}
		return view{template: "edit", data: again, code: fault.CodeOf(err).Status()}, nil
	}
	return view{location: done(v.Back, "edit")}, nil
}

// edit does what the form asks for: one of its three buttons.
func (p *site) edit(r *request, v editView) error {
	ctx, actor := r.Context(), access.From(r.Context()).Name
	tag := events.Pair{Key: strings.TrimSpace(r.PostFormValue("key")), Value: posted(r, "value")}
	switch what := r.PostFormValue("what"); {
	case what == "describe" && r.PostFormValue("was") != v.Was:
		return fault.New(fault.Conflict, "nothing was changed: somebody else wrote another description since the page was opened: %q", cut(v.Description, 200))
	case what == "describe" && v.version == 0:
		_, err := p.s.DescribeModel(ctx, v.model, posted(r, "description"), actor)
		return err
	case what == "describe":
		_, err := p.s.DescribeVersion(ctx, v.model, v.version, posted(r, "description"), actor)
		return err
	case what == "tag" && v.version == 0:
		return p.s.SetModelTag(ctx, v.model, tag, actor)
	case what == "tag":
		return p.s.SetVersionTag(ctx, v.model, v.version, tag, actor)
	case what == "untag" && v.version == 0:
		return p.s.DeleteModelTag(ctx, v.model, tag.Key, actor)
	case what == "untag":
		return p.s.DeleteVersionTag(ctx, v.model, v.version, tag.Key, actor)
	}
	return fault.New(fault.Invalid, "the form does not say what to change; open it again")
}

// posted is a field of several lines as it was typed: browsers send other ends of lines.
func posted(r *request, name string) string {
	return strings.ReplaceAll(r.PostFormValue(name), "\r\n", "\n")
}
