package stores

import (
	"context"
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// Allowed returns a context for requests to operations of the API, such as
// "STREAM.INFO.E", and to all subjects below them. The context ends as soon as NATS
// denies this user one of the requests: NATS does not answer a denied request, and
// nats.go would wait for its deadline. The function is called once with the error of the
// requests; if there was a denial, it returns an error that wraps [ErrPermission].
func (s *Stores) Allowed(ctx context.Context, operations ...string) (context.Context, func(error) error) {
	return s.allowed(ctx, func(d *denials.Denial) bool {
		for _, operation := range operations {
			if d.Below(s.prefix + "." + operation) {
				return true
			}
		}
		return false
	})
}

// AllowedTo is Allowed for a message to any other subject.
func (s *Stores) AllowedTo(ctx context.Context, subject string) (context.Context, func(error) error) {
	return s.allowed(ctx, func(d *denials.Denial) bool { return d.Publishing(subject) })
}

func (s *Stores) allowed(ctx context.Context, concerns func(*denials.Denial) bool) (context.Context, func(error) error) {
	ctx, end := s.denials.Context(ctx, concerns)
	return ctx, func(err error) error {
		if denial := end(); err != nil && denial != nil {
			return s.permission(denial)
		}
		return err
	}
}

// permission returns the error of a denial as people read it.
func (s *Stores) permission(d *denials.Denial) error {
	return fmt.Errorf("%w's %s; see the least permissions in docs/protocol.md: %w", ErrPermission, strings.TrimPrefix(d.Subject, s.prefix+"."), d.Err)
}
