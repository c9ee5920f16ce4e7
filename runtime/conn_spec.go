package aegis

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/aegisrpc/aegis/internal/spec"
)

// serviceSpecs are the options of services that a connection has read: commands are
// looked up too often to read the options each time. The zero value is ready for use,
// by several goroutines at once.
type serviceSpecs struct {
	read sync.Map // of *spec.Service, by descriptor

	foreign  sync.Map // names of services that this program has no code of, and that were asked for
	foreigns atomic.Int32
}

type serviceSpecsKey struct{}

func (c *Conn) serviceSpecs() *serviceSpecs {
	return perConn(c, serviceSpecsKey{}, func() *serviceSpecs { return new(serviceSpecs) })
}

// of returns the options of a service. The caller must not change them.
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

// maxForeign bounds the number of services that misspelled remembers.
const maxForeign = 64

// misspelled reports whether the name of a service may be misspelled: no code that
// this program links has a service of that name. It is true once for each name.
func (s *serviceSpecs) misspelled(service string) bool {
	found, _ := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service)) // nil with an error
	if _, ok := found.(protoreflect.ServiceDescriptor); ok {
		return false
	}
	if _, told := s.foreign.Load(service); told || s.foreigns.Add(1) > maxForeign {
		return false
	}
	_, told := s.foreign.LoadOrStore(service, true)
	return !told
}

// serviceSpec reads the options of a service descriptor of generated code.
func serviceSpec(service protoreflect.ServiceDescriptor) (*spec.Service, error) {
	if service == nil {
		return nil, errors.New("aegis: the service's descriptor is missing: the generated files of messages and services " +
			"are of different versions; run buf generate")
	}
	if d, ok := service.(*documented); ok {
		service = d.ServiceDescriptor
	}
	desc, err := spec.FromDescriptor(service)
	if err != nil {
		return nil, fmt.Errorf("aegis: service %s: %w", service.FullName(), err)
	}
	return desc, nil
}
