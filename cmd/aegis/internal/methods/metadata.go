package methods

import (
	"context"
	"maps"
	"strings"

	"github.com/spf13/pflag"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Metadata is the flag --header: the metadata of what is sent.
type Metadata struct{ texts []string }

// Define adds the flag to a command that sends things of this name, such as "the request".
func (m *Metadata) Define(f *pflag.FlagSet, things string) {
	f.StringArrayVarP(&m.texts, "header", "H", nil, "metadata of "+things+", as `'KEY: VALUE'`; may be given several times (default: none)")
}

// Header returns the metadata.
func (m *Metadata) Header() (aegis.Header, error) {
	header := make(aegis.Header)
	for _, text := range m.texts {
		key, value, found := strings.Cut(text, ":")
		if key = strings.TrimSpace(key); !found || key == "" {
			return nil, cli.Usagef("--header %q: use KEY: VALUE", text)
		}
		header.Add(key, strings.TrimSpace(value))
	}
	return header, nil
}

// Attach returns a context for a call with the metadata.
func (m *Metadata) Attach(ctx context.Context) (context.Context, *aegis.Call, error) {
	header, err := m.Header()
	if err != nil {
		return nil, nil, err
	}
	ctx, call := aegis.NewCall(ctx)
	maps.Copy(call.RequestHeader(), header)
	return ctx, call, nil
}
