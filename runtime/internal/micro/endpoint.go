package micro

import (
	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
)

// EndpointOf describes a method that a server offers.
func EndpointOf(subjects wire.Subjects, service string, m *spec.Method, stats func() Stats) Endpoint {
	e := Endpoint{Name: m.Name, Queue: wire.Queue, Stats: stats, Metadata: map[string]string{"pattern": patterns.Name(m)}}
	if m.Group != "" {
		e.Metadata["group"] = m.Group
	}
	switch m.Pattern {
	case spec.SingleActive:
		e.Subject = subjects.LeadAny(service, m.Name, m.Group)
	case spec.Broadcast:
		e.Subject, e.Queue = subjects.All(service, m.Name), ""
	case spec.Command:
		e.Subject, e.Queue = subjects.CommandsOf(service, m.Name, "*"), ""
	default:
		e.Subject = subjects.Call(service, m.Name)
	}
	return e
}
