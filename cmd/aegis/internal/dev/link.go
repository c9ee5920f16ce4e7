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
	// guest is set if NATS is that of a cluster. Then env has what leads there.
	guest *guest
}

// linkOf reads the global flags. Flags that make no sense for a NATS that dev starts are
// refused without one that names another NATS, such as that of a cluster.
func linkOf(flags *pflag.FlagSet, cluster bool) (link, error) {
	l := link{outside: cluster}
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
		return link{}, cli.Usagef("--%s is for a NATS that runs already: name that with --server, --context or --kube, "+
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
	if l.guest != nil {
		return l.clusterEnvironment(inherited)
	}
	env := slices.DeleteFunc(slices.Clone(inherited), func(v string) bool {
		name := variableOf(v)
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

// clusterEnvironment is the environment of a server that uses the NATS of a cluster. What the
// environment says of the user counts, as for dev itself, unless a flag or a Secret does.
func (l link) clusterEnvironment(inherited []string) []string {
	user := slices.ContainsFunc(l.env, saysUser)
	env := slices.DeleteFunc(slices.Clone(inherited), func(v string) bool {
		same := func(own string) bool { return variableOf(own) == variableOf(v) }
		return user && saysUser(v) || slices.ContainsFunc(l.env, same)
	})
	return append(env, l.env...)
}

func variableOf(v string) string {
	name, _, _ := strings.Cut(v, "=")
	return name
}

// saysUser tells whether a variable says who the user of NATS is.
func saysUser(v string) bool {
	return slices.Contains([]string{"NATS_USER", "NATS_PASSWORD", "NATS_TOKEN", "NATS_CREDS", "NATS_NKEY", "NATS_JWT", "NATS_SEED"}, variableOf(v))
}
