package registry

import (
	"slices"

	"telco-churn-mlops/events"
)

// Latest returns the highest version of each stage of a model, the lowest number first. Deleted ones are left out. It copies no others, so that
// a list of models costs little however many versions they have.
func (c *Catalog) Latest(key string) []Version {
	var out []Version
	seen := map[events.Stage]bool{}
	for _, v := range slices.Backward(c.versions(key)) {
		if v.Deleted || seen[v.Stage] {
			continue
		}
		seen[v.Stage] = true
		out = append(out, c.copyVersion(key, v, c.models[key].pointers(c.Champion)))
	}
	slices.Reverse(out)
	return out
}
