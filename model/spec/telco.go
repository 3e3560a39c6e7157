package spec

import (
	_ "embed"
	"fmt"
)

//go:embed telco.yaml
var telcoYAML []byte

// Telco returns the embedded spec of the Telco customer churn data, a new value at each call. Its dataset has no path.
func Telco() *Spec {
	s, err := Parse(telcoYAML)
	if err != nil {
		panic(fmt.Sprintf("spec: embedded telco.yaml: %v", err))
	}
	return s
}

// TelcoYAML returns the embedded file with its comments, a new slice at each call.
func TelcoYAML() []byte { return append([]byte(nil), telcoYAML...) }
