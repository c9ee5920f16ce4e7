package methods

import (
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// Target is a service, or one of its methods or groups.
type Target struct{ Service, Name string }

// Parse reads SERVICE or SERVICE/NAME.
func Parse(arg string) (Target, error) {
	service, name, both := strings.Cut(arg, "/")
	if service == "" || both && name == "" || strings.Contains(name, "/") {
		return Target{}, cli.Usagef("%q: write SERVICE, or SERVICE/METHOD", arg)
	}
	return Target{service, name}, nil
}

// ParseMethod reads SERVICE/METHOD.
func ParseMethod(arg string) (Target, error) {
	t, err := Parse(arg)
	if err == nil && t.Name == "" {
		return t, cli.Usagef("%q: write SERVICE/METHOD", arg)
	}
	return t, err
}

// String returns the target as an argument.
func (t Target) String() string {
	if t.Name == "" {
		return t.Service
	}
	return t.Service + "/" + t.Name
}
