// Package methods finds the method that an argument names, and reads the messages that are
// to be sent to it.
package methods

import (
	"context"
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// split splits an argument such as order.v1.OrderService/GetOrder into the names of the
// service and of the method. A dot in place of the slash will do, too.
func split(arg string) (service, method string, err error) {
	service, method, found := strings.Cut(arg, "/")
	if !found {
		if i := strings.LastIndexByte(arg, '.'); i > 0 {
			service, method = arg[:i], arg[i+1:]
		}
	}
	if service == "" || method == "" || strings.Contains(method, "/") {
		return "", "", cli.Usagef("%q is no method: use SERVICE/METHOD, such as order.v1.OrderService/GetOrder", arg)
	}
	return service, method, nil
}

// Find returns the method that an argument names, by reflection. The service may be named
// without its package if only one service that runs has that name.
func Find(ctx context.Context, conn *aegis.Conn, arg string) (*aegisreflect.Method, error) {
	return (&Route{}).Find(ctx, conn, arg)
}

// Find is the function Find for calls that have this route: the method is as the instances
// know it that the route chooses, if these know another one than the others.
func (r *Route) Find(ctx context.Context, conn *aegis.Conn, arg string) (*aegisreflect.Method, error) {
	service, method, err := split(arg)
	if err != nil {
		return nil, err
	}
	if service, err = fullName(ctx, conn, service); err != nil {
		return nil, err
	}
	if hash := r.descriptors(ctx, conn, service); hash != "" {
		if s, err := aegisreflect.New(conn).ServiceByHash(ctx, service, hash); err == nil {
			return s.Method(method)
		}
	}
	s, err := aegisreflect.New(conn).Service(ctx, service)
	if err != nil {
		return nil, err
	}
	return s.Method(method)
}

// descriptors returns the hash of the descriptors of the first running instance that is
// chosen; "" if it is not known, or no instance is chosen.
func (r *Route) descriptors(ctx context.Context, conn *aegis.Conn, service string) string {
	if r.instance == "" && len(r.where) == 0 {
		return ""
	}
	instances, err := conn.Instances(ctx, service)
	if err != nil {
		return "" // the call tells why
	}
	for i := range instances {
		if instances[i].State == aegis.StateRunning && r.chooses(&instances[i]) {
			return instances[i].Descriptors
		}
	}
	return ""
}

// FindService returns a service by reflection. It may be named without its package if only
// one service that runs has that name.
func FindService(ctx context.Context, conn *aegis.Conn, name string) (*aegisreflect.Service, error) {
	full, err := fullName(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	return aegisreflect.New(conn).Service(ctx, full)
}

// fullName returns the full name of the only service that runs under a name without a
// package; the name itself if none does, and if it has a package.
func fullName(ctx context.Context, conn *aegis.Conn, name string) (string, error) {
	if strings.Contains(name, ".") {
		return name, nil
	}
	all, err := conn.Services(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, full := range all {
		if strings.HasSuffix(full, "."+name) {
			found = append(found, full)
		}
	}
	switch len(found) {
	case 0:
		return name, nil
	case 1:
		return found[0], nil
	default:
		return "", fmt.Errorf("%s is the name of several services: %s; use one of these", name, strings.Join(found, ", "))
	}
}
