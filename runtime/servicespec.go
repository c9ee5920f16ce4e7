package aegis

import (
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
)

// serviceSpecs are the options of services that a connection has read, for what is
// made too often to read them each time. The zero value is ready for use, by
// several goroutines at once.
type serviceSpecs struct {
	read sync.Map // of *spec.Service, by descriptor
}

// of returns the options of a service, which nobody must change.
func (s *serviceSpecs) of(service protoreflect.ServiceDescriptor) (*spec.Service, error) {
	if known, ok := s.read.Load(service); ok {
		return known.(*spec.Service), nil //nolint:forcetypeassert // nothing else is stored
	}
	parsed, err := serviceSpec(service)
	if err != nil {
		return nil, err
	}
	known, _ := s.read.LoadOrStore(service, parsed)
	return known.(*spec.Service), nil //nolint:forcetypeassert // see above
}
