package aegisreflect

import (
	"context"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// denialLook is the pause between two looks at the last error of the connection.
const denialLook = 20 * time.Millisecond

// undenied calls f with a context that ends as soon as NATS has refused this user to publish
// to a subject that concerns f: NATS does not answer such a request. The error says so then,
// with CodePermissionDenied.
func undenied(ctx context.Context, conn *aegis.Conn, concerns func(subject string) bool, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := conn.NATS().LastError()
	refused := func() (subject string, ok bool) {
		last := conn.NATS().LastError()
		if last == before { //nolint:errorlint // the very value: each denial has one of its own
			return "", false
		}
		subject, ok = denials.RefusesPublishing(last)
		return subject, ok && concerns(subject)
	}
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		ticker := time.NewTicker(denialLook)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if _, ok := refused(); ok {
					cancel()
					return
				}
			case <-done:
				return
			}
		}
	}()
	err := f(ctx)
	close(done)
	<-over
	if err != nil {
		if subject, ok := refused(); ok {
			return aegis.Errorf(aegis.CodePermissionDenied, "NATS does not allow this user to publish to %s; see the least permissions in docs/protocol.md", subject)
		}
	}
	return err
}
