package aegisreflect

import (
	"context"
	"errors"
	"slices"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/aegisrpc/aegis/internal/near"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

// Resolver finds services by name. It keeps the descriptors that it has found by their
// hash, so one per connection is enough. It is safe for concurrent use and needs no closing.
type Resolver struct {
	conn *aegis.Conn
	opts []aegis.ClientOption

	mu    sync.Mutex             // guards the fields below
	given []*protoregistry.Files // by Use
	known map[version]*Service
	order []version          // of known, the oldest first
	last  map[string]version // of the servers of a service, by its name
}

// version is a service with one set of descriptors; the hash is "" for those that Use was
// given.
type version struct{ name, hash string }

// mostKnown bounds the number of services that a Resolver remembers.
const mostKnown = 256

// New returns a Resolver of the services of a connection. Each service that it finds makes
// its calls and sends its commands with the options of a client, and publishes with those of
// them that publishers take too, such as aegis.WithInterceptors and aegis.WithStorage. An
// option that does not fit a service is an error of its calls.
//
// To an interceptor requests are *dynamicpb.Message, and responses *emptypb.Empty with the
// whole response in their unknown fields.
func New(conn *aegis.Conn, opts ...aegis.ClientOption) *Resolver {
	return &Resolver{conn: conn, opts: slices.Clone(opts), known: map[version]*Service{}, last: map[string]version{}}
}

// Use adds descriptors that the program has: the services in them are not asked for. Of a
// service that was given twice the later descriptors count. protodesc.NewFiles makes a
// registry of a FileDescriptorSet, as buf build and protoc --include_imports write one;
// protoregistry.GlobalFiles has the generated code that the program links. The registry must
// not change any more. Services that were returned before stay as they are.
func (r *Resolver) Use(files *protoregistry.Files) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given = append(r.given, files)
	for v := range r.known {
		if v.hash == "" {
			delete(r.known, v)
		}
	}
	r.order = slices.DeleteFunc(r.order, func(v version) bool { return v.hash == "" })
}

// Service returns a service by its full name, such as "order.v1.OrderService". The
// descriptors are those of Use, else those of one of the servers, else those that were kept
// with the stored events and commands of the service, else those of a reserved instance.
//
// Each call asks a server again which descriptors it has, which takes one round trip, so
// that a new version is found; descriptors that are known already are not sent again, and
// the Service is the same as before. A Service that is kept stays valid. While instances of
// two versions run, it is open whose descriptors are found; see ServiceByHash.
//
// The error wraps ErrUnknownService, ErrNoReflection or ErrInvalidDescriptors, or has the
// code of what went wrong on the way, such as CodePermissionDenied. It waits for each answer
// for up to 2 s, or until ctx ends.
func (r *Resolver) Service(ctx context.Context, name string) (*Service, error) {
	if err := r.check(name); err != nil {
		return nil, err
	}
	if s, err := r.givenService(name); s != nil || err != nil {
		return s, err
	}
	s, failure := r.served(ctx, name)
	if failure == nil {
		return s, nil
	}
	if err := ctx.Err(); err != nil || !errors.Is(failure, errNotServed) {
		return nil, failure
	}
	s, err := r.stored(ctx, name)
	if s != nil || errors.Is(err, ErrInvalidDescriptors) {
		return s, err
	}
	if s := r.reserved(ctx, name); s != nil {
		return s, nil
	}
	return nil, r.unknown(ctx, name, failure, err)
}

// reserved returns a service with the descriptors of a reserved instance, which sends them
// only to those who name them; nil if there is none.
func (r *Resolver) reserved(ctx context.Context, name string) *Service {
	instances, err := r.conn.Instances(ctx, aegis.AllServices)
	if err != nil {
		return nil // unknown tells
	}
	for _, i := range instances {
		if i.Service == name && i.Reserved && descset.ValidHash(i.Descriptors) {
			if s, err := r.download(ctx, name, i.Descriptors); err == nil {
				return s
			}
		}
	}
	return nil
}

// ServiceByHash returns a service with the descriptors of this hash, from a server that has
// them, or from those that were kept. An aegis.Instance has the hash of its descriptors. The
// errors are those of Service; ErrUnknownService says that nobody has these descriptors.
func (r *Resolver) ServiceByHash(ctx context.Context, name, hash string) (*Service, error) {
	if err := r.check(name); err != nil {
		return nil, err
	}
	if !descset.ValidHash(hash) {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "%q is no hash of descriptors: it has 32 characters of 0-9 a-f", hash)
	}
	if s := r.remembered(version{name, hash}); s != nil {
		return s, nil
	}
	s, failure := r.download(ctx, name, hash)
	if failure == nil || !errors.Is(failure, errNotServed) || ctx.Err() != nil {
		return s, failure
	}
	s, err := r.kept(ctx, name, hash)
	if s != nil || err != nil {
		return s, err
	}
	return nil, aegis.Errorf(aegis.CodeNotFound, "%w: nobody has the descriptors %s of %s: %w", ErrUnknownService, hash, name, failure)
}

func (r *Resolver) check(name string) error {
	switch {
	case r.conn == nil:
		return aegis.NewError(aegis.CodeInvalidArgument, "the connection of the resolver is nil")
	case !protoreflect.FullName(name).IsValid():
		return aegis.Errorf(aegis.CodeInvalidArgument, "%q is no full name of a service; write one such as order.v1.OrderService", name)
	}
	return nil
}

// givenService returns the service of the descriptors that the program has; nil if they do
// not have it.
func (r *Resolver) givenService(name string) (*Service, error) {
	if s := r.remembered(version{name: name}); s != nil {
		return s, nil
	}
	r.mu.Lock()
	given := r.given
	r.mu.Unlock()
	for _, files := range slices.Backward(given) {
		if d, err := files.FindDescriptorByName(protoreflect.FullName(name)); err == nil {
			if _, ok := d.(protoreflect.ServiceDescriptor); ok {
				return r.make(files, version{name: name}, 0, "the program")
			}
		}
	}
	return nil, nil //nolint:nilnil // it is no error that the program does not have it
}

// make makes a service and remembers it, unless it is known already.
func (r *Resolver) make(files *protoregistry.Files, v version, size int, from string) (*Service, error) {
	s, err := newService(r, files, v, size)
	if err != nil {
		return nil, invalid(v.name, from, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[v]; known != nil {
		return known, nil
	}
	if len(r.order) == mostKnown {
		delete(r.known, r.order[0])
		r.order = r.order[1:]
	}
	r.known[v] = s
	r.order = append(r.order, v)
	return s, nil
}

// decode makes a service of the encoded form of descriptors, and remembers it.
func (r *Resolver) decode(encoded []byte, v version, from string) (*Service, error) {
	set, err := descset.Decode(encoded, v.hash)
	if err != nil {
		return nil, invalid(v.name, from, err)
	}
	files, err := set.Files()
	if err != nil {
		return nil, invalid(v.name, from, err)
	}
	return r.make(files, v, len(encoded), from)
}

// remembered returns a service that is known; nil if it is not.
func (r *Resolver) remembered(v version) *Service {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[v]
}

// lastServed returns the service as a server has served it last; nil if none has.
func (r *Resolver) lastServed(name string) *Service {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[r.last[name]]
}

// wasServed notes that a server has served the service in this form.
func (r *Resolver) wasServed(v version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.last) > mostKnown {
		clear(r.last) // they are asked for in full the next time
	}
	r.last[v.name] = v
}

// unknown says why no descriptors of a service were found. served and stored say why the
// servers have sent none, and why it is not known whether some are stored, or nil.
func (r *Resolver) unknown(ctx context.Context, name string, served, stored error) error {
	if aegis.CodeOf(served) == aegis.CodePermissionDenied {
		return served
	}
	ofStored := "nothing of it is stored"
	if stored != nil {
		ofStored = "whether something of it is stored is not known: " + stored.Error()
	}
	instances, err := r.conn.Instances(ctx, aegis.AllServices)
	if err != nil {
		return aegis.Errorf(aegis.CodeNotFound, "%w: %s has no server that sends descriptors, and %s; which services there are is not known: %w",
			ErrUnknownService, name, ofStored, err)
	}
	var names []string
	for _, i := range instances {
		if i.Service == name {
			return aegis.Errorf(aegis.CodeUnimplemented, "%w of %s: %w; %s", ErrNoReflection, name, served, ofStored)
		}
		if !slices.Contains(names, i.Service) {
			names = append(names, i.Service)
		}
	}
	return aegis.Errorf(aegis.CodeNotFound, "%w: %s has no instance, and %s%s",
		ErrUnknownService, name, ofStored, near.DidYouMean(name, names, "services with instances"))
}

// errNotServed is wrapped by the error of a service whose descriptors no server has sent, so
// that it is worth looking elsewhere.
var errNotServed = errors.New("no server has sent them")
