package registry

import "slices"

// InProduction returns the numbers of a model's versions that are in Production, ascending, with the one that the last promotion names,
// which is what everybody reads there: registered or not, deleted or not.
func (c *Catalog) InProduction(key string) []int {
	m := c.models[key]
	if m == nil {
		return nil
	}
	in := m.inProduction()
	if n := m.production(); n > 0 && !slices.Contains(in, n) {
		in = append(in, n)
		slices.Sort(in)
	}
	return in
}
