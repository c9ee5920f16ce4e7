package descset

import (
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// ErrUnknown is wrapped by the error for a service that was not added.
var ErrUnknown = errors.New("this program has no descriptors")

// Sets are the sets of the services that a program has generated code of. Each is made when
// it is first asked for, and once. The zero value has none. It is safe for concurrent use.
type Sets struct {
	mu   sync.Mutex                      // guards made
	made map[string]func() (*Set, error) // by the full name of the service
}

// Documented is the descriptor of a service with the comments of its file.
type Documented struct {
	protoreflect.ServiceDescriptor

	Comments []Comment
}

// Plain returns a descriptor without comments.
func Plain(service protoreflect.ServiceDescriptor) protoreflect.ServiceDescriptor {
	if d, ok := service.(*Documented); ok {
		return d.ServiceDescriptor
	}
	return service
}

// Note adds a service that the program has generated code of, unless there is one of that
// name. A dynamic client has descriptors of another program, which serves and keeps them.
func (s *Sets) Note(service protoreflect.ServiceDescriptor) {
	plain := Plain(service)
	if own, _ := protoregistry.GlobalFiles.FindDescriptorByName(plain.FullName()); own != plain {
		return
	}
	var comments []Comment
	if d, ok := service.(*Documented); ok {
		comments = d.Comments
	}
	s.add(plain, comments)
}

func (s *Sets) add(service protoreflect.ServiceDescriptor, comments []Comment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(service.FullName())
	if s.made[name] != nil {
		return
	}
	if s.made == nil {
		s.made = make(map[string]func() (*Set, error))
	}
	s.made[name] = sync.OnceValues(func() (*Set, error) { return Of(service, comments...) })
}

// Of returns the set of a service that was added.
func (s *Sets) Of(service string) (*Set, error) {
	s.mu.Lock()
	made := s.made[service]
	s.mu.Unlock()
	if made == nil {
		return nil, fmt.Errorf("%w of %s", ErrUnknown, service)
	}
	return made()
}
