package tracking

import (
	"crypto/rand"
	"fmt"
	"math/big"

	"telco-churn-mlops/registry/fault"
)

// Words of which the name of a run is made that was given none.
var (
	nameFirst = []string{"amber", "brisk", "calm", "clever", "crisp", "daring", "eager", "early", "fleet", "frank", "gentle", "glad", "grand", "hardy",
		"honest", "humble", "jolly", "keen", "kind", "late", "light", "lively", "loyal", "lucid", "mellow", "merry", "mild", "neat", "noble", "patient",
		"plain", "proud", "quick", "quiet", "rapid", "ready", "rustic", "sharp", "silent", "sober", "solid", "steady", "sunny", "swift", "tidy", "vivid",
		"warm", "wise"}
	nameSecond = []string{"alder", "badger", "beacon", "beech", "bison", "canyon", "cedar", "comet", "crane", "delta", "dune", "falcon", "fern", "finch",
		"fjord", "geyser", "glacier", "grove", "harbor", "heron", "ibex", "island", "juniper", "kestrel", "lagoon", "lark", "lynx", "maple", "marten",
		"meadow", "mesa", "moose", "osprey", "otter", "plover", "prairie", "quail", "raven", "ridge", "river", "robin", "spruce", "stoat", "summit",
		"tern", "tundra", "walnut", "wren"}
)

// randomName makes up a name such as "steady-otter-417".
func randomName() (string, error) {
	const numbers = 1000
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(nameFirst)*len(nameSecond)*numbers)))
	if err != nil {
		return "", fault.New(fault.Internal, "make up a name: %w", err)
	}
	i := int(n.Int64())
	first, i := nameFirst[i%len(nameFirst)], i/len(nameFirst)
	return fmt.Sprintf("%s-%s-%d", first, nameSecond[i%len(nameSecond)], i/len(nameSecond)), nil
}
