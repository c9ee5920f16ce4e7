package aegisreflect

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/internal/near"
	"github.com/aegisrpc/aegis/internal/spec"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Service is a service with one set of descriptors. It is safe for concurrent use.
type Service struct {
	resolver *Resolver
	version  version
	size     int // of the encoded descriptors
	spec     *spec.Service
	files    *protoregistry.Files
	types    types
	methods  []*Method

	client    lazy[*aegis.Client]
	publisher lazy[*aegis.Publisher]
}

func newService(r *Resolver, files *protoregistry.Files, v version, size int) (*Service, error) {
	found, err := files.FindDescriptorByName(protoreflect.FullName(v.name))
	if err != nil {
		return nil, errors.New("they do not have the service")
	}
	desc, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no service in them", v.name)
	}
	s := &Service{resolver: r, version: v, size: size, files: files, types: types{dynamicpb.NewTypes(files)}}
	if s.spec, err = spec.FromDescriptor(desc); err != nil {
		return nil, err
	}
	for _, m := range s.spec.Methods {
		s.methods = append(s.methods, &Method{service: s, spec: m})
	}
	return s, nil
}

// Name returns the full name of the service.
func (s *Service) Name() string { return s.version.name }

// Hash returns the hash of the descriptors, as aegis.Instance has it; "" if Resolver.Use was
// given the descriptors.
func (s *Service) Hash() string { return s.version.hash }

// Version returns the version of the service, from its proto.
func (s *Service) Version() string { return s.spec.Version }

// Descriptor returns the descriptor of the service. Comment returns its comment.
func (s *Service) Descriptor() protoreflect.ServiceDescriptor { return s.spec.Desc }

// Files returns the file of the service and all that it imports. The caller must not change
// the registry.
func (s *Service) Files() *protoregistry.Files { return s.files }

// Options returns the options that the proto gives the service, without defaults. It is
// empty, not nil, if the proto gives none.
func (s *Service) Options() *aegisv1.ServiceOptions {
	opts, _ := spec.ServiceOptions(s.spec.Desc) // was read before, without an error
	return opts
}

// Methods returns the methods, in the order of the proto. The caller must not change the
// slice.
func (s *Service) Methods() []*Method { return s.methods }

// Method returns a method by its name, short or full. The error wraps ErrUnknownMethod, and
// names methods that may be meant.
func (s *Service) Method(name string) (*Method, error) {
	short := strings.TrimPrefix(name, s.Name()+".")
	names := make([]string, len(s.methods))
	for i, m := range s.methods {
		if m.Name() == short {
			return m, nil
		}
		names[i] = m.Name()
	}
	return nil, aegis.Errorf(aegis.CodeNotFound, "%w: %s has no method %q%s", ErrUnknownMethod, s.Name(), short, near.DidYouMean(short, names, "methods"))
}

// aegisClient returns the client that makes the calls of the service.
func (s *Service) aegisClient() (*aegis.Client, error) {
	return s.client.get(func() (*aegis.Client, error) {
		return aegis.NewClient(s.resolver.conn, borrowed{s.spec.Desc}, s.resolver.opts...)
	})
}

// aegisPublisher returns the publisher of the events of the service.
func (s *Service) aegisPublisher() (*aegis.Publisher, error) {
	return s.publisher.get(func() (*aegis.Publisher, error) {
		var opts []aegis.PublisherOption
		for _, o := range s.resolver.opts {
			if p, ok := o.(aegis.PublisherOption); ok {
				opts = append(opts, p)
			}
		}
		return aegis.NewPublisher(s.resolver.conn, borrowed{s.spec.Desc}, opts...)
	})
}

// lazy is a value that is made when it is needed for the first time. It is safe for
// concurrent use. An error is not kept.
type lazy[T any] struct {
	mu    sync.Mutex // guards the fields below
	made  bool
	value T
}

func (l *lazy[T]) get(makeIt func() (T, error)) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made {
		return l.value, nil
	}
	value, err := makeIt()
	if err == nil {
		l.value, l.made = value, true
	}
	return value, err
}

// Comment returns the comment before a declaration of a service's file, as its proto has it,
// without the slashes and the space behind them; "" if there is none. The descriptors that a
// server serves have the comments of the file of the service, and not of imported files.
func Comment(d protoreflect.Descriptor) string {
	file := d.ParentFile()
	if file == nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(file.SourceLocations().ByDescriptor(d).LeadingComments, " \n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(line, " "), " \t\r")
	}
	return strings.Join(lines, "\n")
}

// borrowed is the descriptor of a service as package aegis gets it. It is no descriptor of
// generated code, which that package would serve, and keep with what is stored: those who
// have the code do that, with the comments.
type borrowed struct{ protoreflect.ServiceDescriptor }
