package dev

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

const (
	flagServer    = "server"
	flagContext   = "context"
	flagNamespace = "namespace"
)

// link is how the servers find NATS.
type link struct {
	// outside: the user has named a NATS, so dev starts none.
	outside bool
	// user: a flag says who the servers are, so nothing of the environment does.
	user bool
	// env has the global flags that were given, as variables.
	env []string
}

// linkOf reads the global flags. Flags that make no sense for a NATS that dev starts are
// refused without one that names another NATS.
func linkOf(flags *pflag.FlagSet) (link, error) {
	var l link
	var useless string
	aegisenv.BindFlags(&aegisenv.Settings{}, func(_ *string, name, variable, _ string) {
		f := flags.Lookup(name)
		if f == nil || !f.Changed {
			return
		}
		l.env = append(l.env, variable+"="+f.Value.String())
		switch {
		case name == flagServer:
			l.outside = true
		case name == flagContext:
			l.outside, l.user = true, true
		case name != flagNamespace:
			useless = name
			l.user = l.user || strings.HasPrefix(variable, "NATS_")
		}
	})
	if !l.outside && useless != "" {
		return link{}, cli.Usagef("--%s is for a NATS that runs already: name that with --server or --context, "+
			"or leave --%s out, as everybody on this machine may use the NATS that dev starts", useless, useless)
	}
	return l, nil
}

// namespace is that of the services, "" for the default.
func (l link) namespace() string {
	name := os.Getenv("AEGIS_NAMESPACE")
	for _, v := range l.env {
		if given, ok := strings.CutPrefix(v, "AEGIS_NAMESPACE="); ok {
			name = given
		}
	}
	return name
}

// environment returns the environment of a server. url is that of the NATS that dev has
// started; then nothing of what this process knows of other ones reaches the server.
func (l link) environment(inherited []string, url string) []string {
	env := slices.DeleteFunc(slices.Clone(inherited), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		nats := strings.HasPrefix(name, "NATS_")
		if url != "" {
			return nats || strings.HasPrefix(name, "AEGIS_JS_") || name == "AEGIS_INBOX_PREFIX"
		}
		return nats && l.user
	})
	if url != "" {
		env = append(env, "NATS_URL="+url)
	}
	return append(env, l.env...)
}
