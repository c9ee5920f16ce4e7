package descset

import (
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// ErrUnknown is wrapped by the error for a service that was not added.
var ErrUnknown = errors.New("this program has no descriptors")

// Sets are the sets of the services that a program has generated code of. Each is made when
// it is first asked for, and once. The zero value has none. It is safe for concurrent use.
type Sets struct {
	mu   sync.Mutex                      // guards made
	made map[string]func() (*Set, error) // by the full name of the service
}

// Add adds a service, unless there is one of that name.
func (s *Sets) Add(service protoreflect.ServiceDescriptor, comments []Comment) {
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
