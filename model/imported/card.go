package imported

import (
	"maps"
	"slices"
)

// Card is what an MLmodel file says of its model to people, whether the model can be served or not.
type Card struct {
	Flavors         []string // sorted
	Inputs, Outputs string   // the schemas of the signature as they were logged, JSON; "" for none
	Created         string   // by the clock of the client, UTC; "" if it was not said
}

// ReadCard reads an MLmodel file of any flavor. It takes time and memory in proportion to the file, whatever that holds; what is not YAML of the
// kind that MLmodel files are written in is an error.
func ReadCard(data []byte) (Card, error) {
	t, err := parseTree(data)
	if err != nil {
		return Card{}, err
	}
	flavors, _ := at(t, "flavors").(map[string]any)
	return Card{
		Flavors: slices.Sorted(maps.Keys(flavors)), Created: textAt(t, "utc_time_created"),
		Inputs: textAt(t, "signature", "inputs"), Outputs: textAt(t, "signature", "outputs"),
	}, nil
}
