// Package specs reads the options of the services that a program has generated code of, each
// once.
package specs

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

// Specs are the options that a connection has read: commands are looked up too often to read
// the options each time. The zero value is ready for use, by several goroutines at once.
type Specs struct {
	read sync.Map // of *spec.Service, by descriptor

	foreign  sync.Map // names of services that this program has no code of, and that were asked for
	foreigns atomic.Int32
}

// Of returns the options of a service. The caller must not change them.
func (s *Specs) Of(service protoreflect.ServiceDescriptor) (*spec.Service, error) {
	if known, ok := s.read.Load(service); ok {
		return known.(*spec.Service), nil //nolint:forcetypeassert // nothing else is stored
	}
	parsed, err := Read(service)
	if err != nil {
		return nil, err
	}
	known, _ := s.read.LoadOrStore(service, parsed)
	return known.(*spec.Service), nil //nolint:forcetypeassert // see above
}

// maxForeign bounds the number of services that Misspelled remembers.
const maxForeign = 64

// Misspelled reports whether the name of a service may be misspelled: no code that
// this program links has a service of that name. It is true once for each name.
func (s *Specs) Misspelled(service string) bool {
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

// Read reads the options of a service descriptor of generated code.
func Read(service protoreflect.ServiceDescriptor) (*spec.Service, error) {
	if service == nil {
		return nil, errors.New("aegis: the service's descriptor is missing: the generated files of messages and services " +
			"are of different versions; run buf generate")
	}
	desc, err := spec.FromDescriptor(descset.Plain(service))
	if err != nil {
		return nil, fmt.Errorf("aegis: service %s: %w", service.FullName(), err)
	}
	return desc, nil
}
