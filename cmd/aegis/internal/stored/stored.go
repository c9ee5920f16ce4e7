// Package stored has what the subcommands that look after stored work share.
package stored

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/near"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// WithAdmin connects to NATS for use, which looks after what is stored there.
func WithAdmin(ctx context.Context, app *cli.App, use func(context.Context, *aegis.Conn, *aegisadmin.Admin) error) error {
	return app.WithConn(ctx, func(ctx context.Context, conn *aegis.Conn) error { return use(ctx, conn, aegisadmin.New(conn)) })
}

// Services returns the service that an argument names or, without one, all services of
// which something is stored.
func Services(ctx context.Context, admin *aegisadmin.Admin, args []string) ([]string, error) {
	if len(args) > 0 {
		return args[:1], nil
	}
	return admin.Services(ctx)
}

// Moment returns nil for no time, so that JSON has none.
func Moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Unknown returns the error for a service of which nothing is stored. what is what was
// looked for, such as "dead letters".
func Unknown(ctx context.Context, admin *aegisadmin.Admin, service, what string) error {
	names, err := admin.Services(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(names, service) {
		return nil
	}
	if near := near.Name(service, names); near != "" {
		return fmt.Errorf("nothing is stored of %s, and so it has no %s; did you mean %s?", service, what, near)
	}
	return fmt.Errorf("nothing is stored of %s, and so it has no %s; `aegis streams` lists the services of which something is", service, what)
}

// UnknownName returns the error for a name that none of names is, such as that of a method.
func UnknownName(what, name string, names []string) error {
	if near := near.Name(name, names); near != "" {
		return fmt.Errorf("there is no %s %s; did you mean %s?", what, name, near)
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no %s %s", what, name)
	}
	return fmt.Errorf("there is no %s %s; there is %s", what, name, strings.Join(names, ", "))
}
