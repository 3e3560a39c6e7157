package inference

import (
	"strings"

	"telco-churn-mlops/events"
)

// loopTokens are the first tokens of the subjects that the loop's own messages have.
var loopTokens = func() map[string]bool {
	first := map[string]bool{events.DeadPrefix: true, events.PredictPrefix: true}
	for _, k := range events.Kinds() {
		token, _, _ := strings.Cut(k.Prefix(), ".")
		first[token] = true
	}
	return first
}()

// answerable reports whether an answer may go to a reply subject. Who asks names it, and may name what he may not publish to himself: the answer would
// stand as junk among the promotions, or in the place of an artifact. Permissions of the server are of no help, as those for answers go before denials.
func answerable(reply string) bool {
	if strings.HasPrefix(reply, "_INBOX.") { // nearly all
		return true
	}
	first, _, _ := strings.Cut(reply, ".")
	return first != "" && first[0] != '$' && !loopTokens[first]
}
