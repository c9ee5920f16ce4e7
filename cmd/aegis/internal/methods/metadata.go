package methods

import (
	"context"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// WithMetadata returns a context for a call with this metadata: texts such as
// "tenant: acme", as the flag --header has them.
func WithMetadata(ctx context.Context, headers []string) (context.Context, *aegis.Call, error) {
	ctx, call := aegis.NewCall(ctx)
	for _, h := range headers {
		key, value, found := strings.Cut(h, ":")
		if key = strings.TrimSpace(key); !found || key == "" {
			return nil, nil, cli.Usagef("--header %q: use KEY: VALUE", h)
		}
		call.RequestHeader().Add(key, strings.TrimSpace(value))
	}
	return ctx, call, nil
}
