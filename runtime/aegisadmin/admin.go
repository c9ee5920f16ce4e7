package aegisadmin

import (
	"context"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/inside"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// Admin looks after the services of a connection's namespace. It is safe for concurrent
// use, needs no closing, and works until the connection is closed.
type Admin struct {
	conn *aegis.Conn
	in   inside.Conn
}

// New returns the administration of the services of the connection's namespace.
func New(conn *aegis.Conn) *Admin { return &Admin{conn: conn, in: inside.Of(conn)} }

// Services returns the full names of the services that have a stream, in order: those of
// which events, commands or dead letters are stored, whether they run or not.
func (a *Admin) Services(ctx context.Context) ([]string, error) {
	found := make(map[string]bool)
	err := a.in.Stores.List(ctx, func(info *jetstream.StreamInfo) bool {
		if _, service, ok := a.parseStream(info.Config.Name); ok {
			found[service] = true
		}
		return true
	})
	if err != nil {
		return nil, a.failed(err)
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// The kinds of streams, as their names have them.
const (
	kindEvents   = "events"
	kindCommands = "commands"
	kindResults  = "results"
	kindDead     = "dead"
	kindAttempts = "attempts"
)

// parseStream reads the kind and the service out of the name of a stream.
func (a *Admin) parseStream(name string) (kind, service string, ok bool) {
	rest, ok := strings.CutPrefix(name, a.in.Layout.Namespace+"-")
	if !ok {
		return "", "", false
	}
	kind, service, ok = strings.Cut(rest, "-")
	switch kind {
	case kindEvents, kindCommands, kindResults, kindDead, kindAttempts:
	default:
		return "", "", false
	}
	service = strings.ReplaceAll(service, "-", ".") // names of services have no dashes
	return kind, service, ok && registry.ValidService(service)
}

// check returns an error for a name that no service can have.
func (a *Admin) check(service string) error {
	if !registry.ValidService(service) {
		return aegis.Errorf(aegis.CodeInvalidArgument, "%q is no full name of a service, such as echo.v1.EchoService", service)
	}
	return nil
}

// checkToken returns an error for a name of a method, group or instance that cannot be one
// token of a subject.
func checkToken(what, name string) error {
	if !wire.ValidSubject(name) || strings.Contains(name, ".") {
		return aegis.Errorf(aegis.CodeInvalidArgument, "%q is no name of %s", name, what)
	}
	return nil
}

// failed returns the error that users get for an error of JetStream; nil for nil.
func (a *Admin) failed(err error) error {
	if err == nil {
		return nil
	}
	return a.in.Error(stores.StatusOf(err))
}

// refused returns the error that users get for a status; nil for nil.
func (a *Admin) refused(why *status.Status) error { return a.in.Error(why) }

// within gives a context without a deadline one.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, stores.DefaultTimeout)
}
