package app

import (
	"fmt"
	"os"
	"strings"
)

// UnsetEmpty takes the variables whose name begins with prefix and whose value is empty out of the process's environment, so that an empty
// one means the default, as compose files and shells hand on what is not set. A command calls it before it reads its flags.
func UnsetEmpty(prefix string) error {
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if value != "" || !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return fmt.Errorf("unset %s: %w", name, err)
		}
	}
	return nil
}
