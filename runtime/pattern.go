package aegis

import (
	"strings"

	"github.com/aegisrpc/aegis/internal/spec"
)

// patternName is a method's pattern as it travels in the registry and in NATS
// micro.
func patternName(m *spec.Method) string {
	if m.Event != nil && m.Event.Durable {
		return "durable_event"
	}
	return strings.ReplaceAll(m.Pattern.String(), " ", "_")
}
