package dev

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	variableLabels   = "AEGIS_LABELS"
	variableReserved = "AEGIS_RESERVED"

	// devLabel is the key of the label that says whose instances these are.
	devLabel = "dev"
)

// guest is how the servers stand in a cluster that they are not of.
type guest struct {
	// join: they take their share of the work, as instances of the cluster do.
	join bool
	// labels are those of the servers, and key is that of the one to choose them by.
	labels map[string]string
	key    string
}

// guestOf returns the guest that the flags and the environment describe. The labels of flags
// win over those of the environment, and the label of the developer is there in any case.
func guestOf(given []string, environment string, join bool) (*guest, error) {
	g := &guest{join: join, labels: map[string]string{devLabel: developer()}, key: devLabel}
	for pair := range strings.SplitSeq(environment, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok { // a server refuses what is malformed
			g.labels[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	for i, pair := range given {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || strings.TrimSpace(value) != value || strings.Contains(value, ",") {
			return nil, cli.Usagef("--label %s: use KEY=VALUE, with a value that has no comma and no space around it", pair)
		}
		if i == 0 {
			g.key = key
		}
		g.labels[key] = value
	}
	origin := registry.Origin{Labels: g.labels}
	if err := origin.Validate(); err != nil {
		return nil, cli.Usagef("--label: %s", strings.TrimPrefix(err.Error(), registry.ErrInvalidRecord.Error()+": corrupt: "))
	}
	return g, nil
}

// developer is the name of the user of this machine, as the value of a label.
func developer() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	name = name[strings.LastIndex(name, `\`)+1:] // Windows puts the domain before it
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, name)
	if name == "" {
		return "me"
	}
	return name[:min(len(name), registry.MaxLabelValue)]
}

// environment has the variables of the servers that say so.
func (g *guest) environment() []string {
	return []string{variableLabels + "=" + strings.Join(wire.LabelPairs(g.labels), ","), variableReserved + "=" + strconv.FormatBool(!g.join)}
}

// where is the flag of aegis call that chooses the servers.
func (g *guest) where() string { return " --where " + cli.ShellWord(g.key+"="+g.labels[g.key]) }

// gets tells whether calls of a pattern reach the servers: where they are reserved, it has to
// be one with which a caller chooses an instance.
func (g *guest) gets(p spec.Pattern) bool { return g.join || p == spec.LoadBalanced }

// is tells whether an instance is one of the servers.
func (g *guest) is(i *aegis.Instance) bool {
	value, ok := i.Labels[g.key]
	return ok && value == g.labels[g.key] && i.Reserved != g.join
}

// enter opens the way into the cluster, and tells how the servers stand there.
func (s *session) enter(ctx context.Context, link *link) error {
	app, g := s.out.app, link.guest
	app.LogWay(slog.New(sayer{s.out}))
	env, err := app.KubeEnvironment(ctx)
	if err != nil {
		return err
	}
	link.env = slices.Concat(env, g.environment())
	s.guest, s.flags = g, app.KubeFlagsGiven()
	s.out.sayf(cli.Plain, "NATS is %s", app.Way())
	if g.join {
		s.out.sayf(warning, "The servers share the work of the cluster: its calls, commands and events come to this machine, "+
			"which may lead, too.\nWithout --join only calls that choose them would.")
		return nil
	}
	s.out.sayf(cli.Plain, "the servers stand beside those of the cluster: only calls that choose them reach them, with aegis call%s%s",
		s.flags, g.where())
	return nil
}

// sayer is the log of the way into the cluster, as lines of dev itself.
type sayer struct{ out *output }

// Enabled implements slog.Handler.
func (h sayer) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h sayer) Handle(_ context.Context, r slog.Record) error {
	text := strings.TrimPrefix(r.Message, "aegis kube: ")
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" (%s: %s)", a.Key, strings.TrimPrefix(a.Value.String(), "aegis kube: "))
		return true
	})
	colour := cli.Green
	if r.Level >= slog.LevelWarn {
		colour = warning
	}
	h.out.sayf(colour, "%s", text)
	return nil
}

// WithAttrs implements slog.Handler: what the way logs has no attributes of the logger.
func (h sayer) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h sayer) WithGroup(string) slog.Handler { return h }
