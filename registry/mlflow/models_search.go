package mlflow

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/filter"
)

// Sizes of a page of models and of versions.
const (
	modelsPage      = 100
	modelsPageMax   = 1000
	versionsPage    = 10_000
	versionsPageMax = 200_000
)

// promptTag marks what MLflow 3 keeps as a prompt among the registered models. A search that does not ask for prompts leaves them out, and 3.x
// clients ask for tag != 'true' of what lacks the tag, so it counts as "false" where it is missing.
const promptTag = "mlflow.prompt.is_prompt"

// search is what a client asks a search for.
type search struct {
	Filter     string   `json:"filter"`
	MaxResults *integer `json:"max_results"`
	OrderBy    []string `json:"order_by"`
	PageToken  string   `json:"page_token"`
}

// finder is a search that was read.
type finder struct {
	query  filter.Query
	filter filter.Filter
	order  filter.Order
	after  filter.Key
	size   int
	// prompts is true if the client asks for prompts, or says that it wants none.
	prompts bool
}

// read parses the search. Every error is the client's.
func (s search) read(d filter.Domain, size, most int) (finder, error) {
	f := finder{query: filter.Query{Domain: d, Filter: s.Filter, OrderBy: s.OrderBy}, prompts: strings.Contains(s.Filter, promptTag)}
	order := s.OrderBy
	if d == filter.Versions && len(order) > 0 {
		// Without an order the newest change comes first. With one, what it leaves open is by name, and by number from the highest.
		order = append(slices.Clone(order), "name ASC", "version_number DESC")
	}
	var err error
	if f.size, err = pageSize(s.MaxResults, size, most); err != nil {
		return f, err
	}
	if f.filter, err = filter.Parse(s.Filter, d); err != nil {
		return f, err
	}
	if f.order, err = filter.ParseOrder(order, d); err != nil {
		return f, err
	}
	f.after, err = filter.DecodeToken(f.query, f.order, s.PageToken)
	return f, err
}

// item is something that can be found.
type item interface {
	filter.Fields
	prompt() bool
}

// find returns the page that the search asks for and the token of the next one, empty after the last. It holds no more than a few pages at once.
// The error is ctx's, or that of a search that costs too much.
func find[T item](ctx context.Context, f finder, items iter.Seq[T]) ([]T, string, error) {
	budget := filter.NewBudget(filter.MaxCost)
	type hit struct {
		item *T
		key  filter.Key
	}
	var hits []hit
	first := func() {
		slices.SortFunc(hits, func(a, b hit) int { return f.order.CompareKeys(a.key, b.key) })
		hits = hits[:min(len(hits), f.size+1)]
	}
	for it := range items {
		match := (f.prompts || !it.prompt()) && f.filter.MatchWithin(it, budget)
		if err := cmp.Or(ctx.Err(), budget.Err()); err != nil {
			return nil, "", err
		}
		if !match {
			continue
		}
		key := f.order.Key(it, nil)
		budget.TakeKey(key)
		if f.after != nil && f.order.CompareKeys(key, f.after) <= 0 {
			continue
		}
		hits = append(hits, hit{&it, key})
		if len(hits) >= 4*f.size+1000 {
			first()
		}
	}
	first()
	next := ""
	if len(hits) > f.size {
		hits = hits[:f.size]
		next = filter.EncodeToken(f.query, hits[f.size-1].key)
	}
	found := make([]T, len(hits))
	for i, h := range hits {
		found[i] = *h.item
	}
	return found, next, nil
}

// tagText returns a tag for the grammar.
func tagText(tags map[string]string, key string) (string, bool) {
	v, ok := tags[key]
	if !ok && key == promptTag {
		return "false", true
	}
	return v, ok
}

type modelItem struct{ registry.Model }

func (m modelItem) prompt() bool { return m.Tags[promptTag] == "true" }

// Text implements [filter.Fields].
func (m modelItem) Text(kind filter.Kind, key string) (string, bool) {
	switch {
	case kind == filter.Tag:
		return tagText(m.Tags, key)
	case key == "name":
		return m.Name, true
	}
	return "", false
}

// Number implements [filter.Fields].
func (m modelItem) Number(_ filter.Kind, key string) (float64, bool) {
	switch key {
	case "creation_timestamp":
		return float64(m.CreatedAt.UnixMilli()), true
	case "last_updated_timestamp":
		return float64(m.UpdatedAt.UnixMilli()), true
	}
	return 0, false
}

type versionItem struct{ registry.Version }

func (v versionItem) prompt() bool { return v.Tags[promptTag] == "true" }

// Text implements [filter.Fields].
func (v versionItem) Text(kind filter.Kind, key string) (string, bool) {
	switch {
	case kind == filter.Tag:
		return tagText(v.Tags, key)
	case key == "name":
		return v.ModelName, true
	case key == "run_id":
		return v.RunID, v.RunID != ""
	case key == "source_path":
		return v.Source, v.Source != ""
	}
	return "", false
}

// Number implements [filter.Fields].
func (v versionItem) Number(_ filter.Kind, key string) (float64, bool) {
	switch key {
	case "version_number":
		return float64(v.Version.Version), true
	case "creation_timestamp":
		return float64(v.At.UnixMilli()), true
	case "last_updated_timestamp":
		return float64(v.UpdatedAt.UnixMilli()), true
	}
	return 0, false
}

// viewer gives a catalog to read for as long as fn runs.
type viewer func(fn func(*registry.Catalog))

// viewer returns that of the registry.
func (c *call) viewer() viewer {
	return func(fn func(*registry.Catalog)) { c.s.View(func(cat *registry.Catalog, _ *registry.Fleet) { fn(cat) }) }
}

// viewOf returns that of who has the catalog at hand.
func viewOf(c *registry.Catalog) viewer {
	return func(fn func(*registry.Catalog)) { fn(c) }
}

// viewItems is about what is copied in one view: the fold waits for no more, and for no filter at all.
const viewItems = 256

// items yields what of appends of each of the keys, in their order. What changes meanwhile counts as it was when the search came by.
func items[T any](view viewer, keys func(*registry.Catalog) []string, of func([]T, *registry.Catalog, string) []T) iter.Seq[T] {
	return func(yield func(T) bool) {
		var left []string
		view(func(c *registry.Catalog) { left = keys(c) })
		for len(left) > 0 {
			var some []T
			view(func(c *registry.Catalog) {
				for n := 0; n < viewItems && len(some) < viewItems && len(left) > 0; n++ {
					some = of(some, c, left[0])
					left = left[1:]
				}
			})
			for _, it := range some {
				if !yield(it) {
					return
				}
			}
		}
	}
}

// modelItems yields the models that are not deleted.
func modelItems(view viewer) iter.Seq[modelItem] {
	return items(view, (*registry.Catalog).Models, func(to []modelItem, c *registry.Catalog, key string) []modelItem {
		if m, ok := c.Model(key); ok && !m.Deleted {
			to = append(to, modelItem{m})
		}
		return to
	})
}

// versionItems yields the versions that are not deleted: of the model of that name, or of all models.
func versionItems(view viewer, name string, one bool) iter.Seq[versionItem] {
	return items(view, (*registry.Catalog).Models, func(to []versionItem, c *registry.Catalog, key string) []versionItem {
		m, ok := c.Model(key)
		if !ok || m.Deleted || one && m.Name != name {
			return to
		}
		versions := c.Versions(key)
		to = slices.Grow(to, len(versions))
		for _, v := range versions {
			if !v.Deleted {
				to = append(to, versionItem{v})
			}
		}
		return to
	})
}

func searchModels(c *call) (any, error) {
	var in search
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	f, err := in.read(filter.Models, modelsPage, modelsPageMax)
	if err != nil {
		return nil, err
	}
	if err := c.s.Fresh(c.ctx); err != nil {
		return nil, err
	}
	var out struct {
		Models []wireModel `json:"registered_models,omitempty"`
		Next   string      `json:"next_page_token,omitempty"`
	}
	found, next, err := find(c.ctx, f, modelItems(c.viewer()))
	if err != nil {
		return nil, err
	}
	out.Next = next
	c.viewer()(func(cat *registry.Catalog) {
		for _, m := range found {
			out.Models = append(out.Models, describeModel(cat, m.Model))
		}
	})
	var versions []*wireVersion
	for _, m := range out.Models {
		versions = append(versions, pointers(m.LatestVersions)...)
	}
	return out, c.locate(versions...)
}

func searchVersions(c *call) (any, error) {
	var in search
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	f, err := in.read(filter.Versions, versionsPage, versionsPageMax)
	if err != nil {
		return nil, err
	}
	if err := c.s.Fresh(c.ctx); err != nil {
		return nil, err
	}
	var out struct {
		Versions []wireVersion `json:"model_versions,omitempty"`
		Next     string        `json:"next_page_token,omitempty"`
	}
	name, one := f.filter.Equal("name")
	found, next, err := find(c.ctx, f, versionItems(c.viewer(), name, one))
	if err != nil {
		return nil, err
	}
	out.Next = next
	for _, v := range found {
		out.Versions = append(out.Versions, describeVersion(v.Version))
	}
	return out, c.locate(pointers(out.Versions)...)
}
