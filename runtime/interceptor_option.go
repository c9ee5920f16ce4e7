package aegis

import (
	"fmt"
	"slices"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/chain"
)

// InterceptorsOption is the option that WithInterceptors returns, for servers, services,
// subscribers, clients and publishers.
type InterceptorsOption struct {
	list interceptors
	err  error
}

type interceptors = chain.List[Interceptor, Method]

// WithInterceptors adds interceptors, the first the outermost. If it is given more than
// once, the later ones come further inside. A nil interceptor is an invalid option. It is
// an option of
//
//   - NewServer: around the handlers of all its services, commands and events,
//   - the generated Register functions: around the handlers of one service, its commands
//     included, inside the interceptors of the server,
//   - the generated Subscribe functions: around the handlers of these events, inside
//     the interceptors of the server,
//   - the generated New...Client functions: around calls, streams, broadcasts and the
//     sending of commands,
//   - the generated New...Publisher functions: around publishing.
func WithInterceptors(interceptors ...Interceptor) InterceptorsOption {
	o := InterceptorsOption{list: chain.New[Interceptor, Method](interceptors)}
	if i := slices.Index(interceptors, nil); i >= 0 {
		o.err = invalidOption("interceptor %d is nil", i)
	}
	return o
}

// ForMethods returns the option for methods of these full names only, which generated code
// has as constants. A name of no method that is intercepted there is an invalid option; Run
// says so of an option of NewServer, as the server's services are registered later.
func (o InterceptorsOption) ForMethods(fullNames ...string) InterceptorsOption {
	if len(fullNames) == 0 {
		o.err = invalidOption("ForMethods: no method is named")
	}
	return InterceptorsOption{o.list.Named(fullNames), o.err}
}

// Where returns the option for methods only for which match is true, such as those of one
// pattern. match is called once for each method, and not for calls.
func (o InterceptorsOption) Where(match func(Method) bool) InterceptorsOption {
	if match == nil {
		o.err = invalidOption("Where: the function is nil")
	}
	return InterceptorsOption{o.list.Where(match), o.err}
}

func (o InterceptorsOption) appendTo(list *interceptors) error {
	*list = append(*list, o.list.Fresh()...)
	return o.err
}

// chainsOf returns the interceptors of the methods of a service at a side, by method: those
// of the server, and inside them own, which must name no other methods.
func chainsOf(server, own interceptors, s *spec.Service, side Side) (chains map[string][]Interceptor, err error) {
	chains = make(map[string][]Interceptor)
	for _, m := range s.Methods {
		if (m.Event != nil) != (side == SidePublisher || side == SideSubscriber) {
			continue
		}
		public := publicMethod(s, m, side)
		name := public.FullName()
		for _, in := range append(server.Of(name, public), own.Of(name, public)...) {
			if each, ok := in.(MethodInterceptor); ok {
				if in, err = each.ForMethod(public, public.side); err != nil {
					return nil, fmt.Errorf("aegis: an interceptor of %s: %w", name, err)
				}
			}
			if in != nil {
				chains[m.Name] = append(chains[m.Name], in)
			}
		}
	}
	return chains, own.Check(ErrInvalidOption, s.Name)
}
