// Package complete completes the arguments of the subcommands in a shell: it asks the
// running system which services and methods there are.
package complete

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// patience is how long a person at a shell waits for a completion.
const patience = time.Second

// argument is the kind of the first argument of a command.
type argument struct {
	// services has the names of the services that may stand there.
	services func(context.Context, *aegis.Conn) ([]string, error)
	// names has what may stand after the slash, with a description after a tab; nil if
	// nothing may.
	names func(ctx context.Context, conn *aegis.Conn, service string) ([]string, error)
	// both: the part after the slash is needed.
	both bool
}

// arguments are the first arguments of the commands, by their paths below aegis.
func arguments() map[string]argument {
	service := argument{services: running}
	kept := argument{services: stored}
	keptMethod := argument{services: stored, names: methods()}
	command := argument{services: all, names: methods(aegisreflect.PatternCommand), both: true}
	event := argument{services: all, names: methods(aegisreflect.PatternEvent), both: true}
	return map[string]argument{
		"ls": service, "tree": service, "watch": service, "health": service, "ping": service, "top": service,
		"describe": {services: all, names: methods()},
		"call": {services: running, both: true, names: methods(
			aegisreflect.PatternLoadBalanced, aegisreflect.PatternSingleActive, aegisreflect.PatternBroadcast)},
		"bench": {services: running, names: methods(), both: true},
		"send":  command, "result": command, "progress": command, "cancel": command,
		"publish": event, "subscribe": event,
		"commands": kept, "commands list": keptMethod, "commands show": keptMethod, "commands cancel": keptMethod,
		"commands delete": keptMethod, "commands pause": command, "commands resume": command,
		"deadletters": keptMethod, "deadletters list": keptMethod, "deadletters show": kept, "deadletters retry": keptMethod,
		"deadletters delete": keptMethod,
		"streams":            kept, "streams pause": event, "streams resume": event, "streams partitions": event,
		"leaders": {services: led}, "leaders handover": {services: led, names: groups},
	}
}

// Add has all commands below root complete their arguments, and flags that name a service.
func Add(app *cli.App, root *cobra.Command) {
	known := arguments()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), root.CommandPath()+" ")
		if a, ok := known[path]; ok {
			c.ValidArgsFunction = a.complete(app)
		}
		if c.Flags().Lookup("service") != nil {
			_ = c.RegisterFlagCompletionFunc("service", argument{services: all}.complete(app)) // fails only for an unknown flag
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("kube-context", contexts)
}

// contexts has the contexts of the kubeconfig, which it reads without asking the cluster.
func contexts(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := slices.Sorted(maps.Keys(config.Contexts))
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, begun) || cli.ShellWord(name) != name // a shell might understand it otherwise
	}), cobra.ShellCompDirectiveNoFileComp
}

// complete returns the function that completes the argument. It is silent where NATS does
// not answer.
func (a argument) complete(app *cli.App) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp // JSON or an id
		}
		ctx := c.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		found := make(chan []string, 1)
		quick := *app
		quick.Timeout, quick.Verbose = patience, false
		go func() {
			var names []string
			_ = quick.WithConn(ctx, func(ctx context.Context, conn *aegis.Conn) error {
				names = a.find(ctx, conn, begun)
				found <- names
				return nil
			})
			found <- names // if there is no connection
		}()
		directive := cobra.ShellCompDirectiveNoFileComp
		if a.names != nil && !strings.Contains(begun, "/") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		select {
		case names := <-found:
			return names, directive
		case <-ctx.Done():
			return nil, directive
		}
	}
}

// find returns the completions of what is begun.
func (a argument) find(ctx context.Context, conn *aegis.Conn, begun string) []string {
	service, _, slash := strings.Cut(begun, "/")
	var found []string
	var err error
	switch {
	case slash && a.names == nil:
		return nil
	case slash:
		found, err = a.names(ctx, conn, service)
		for i := range found {
			found[i] = service + "/" + found[i]
		}
	default:
		found, err = a.services(ctx, conn)
		slices.Sort(found)
		found = slices.Compact(found)
		for i := range found {
			if a.both {
				found[i] += "/"
			}
		}
	}
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(found, func(name string) bool {
		word, _, _ := strings.Cut(name, "\t")
		return !strings.HasPrefix(word, begun) || strings.ContainsFunc(word, func(r rune) bool { return !strings.ContainsRune(nameCharacters, r) })
	})
}

// nameCharacters are those of the names that protos and instances can have: a shell might
// understand others.
const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"

func running(ctx context.Context, conn *aegis.Conn) ([]string, error) { return conn.Services(ctx) }

func stored(ctx context.Context, conn *aegis.Conn) ([]string, error) {
	return aegisadmin.New(conn).Services(ctx)
}

// all has the services that run, and those of which something is stored.
func all(ctx context.Context, conn *aegis.Conn) ([]string, error) {
	names, err := running(ctx, conn)
	if err != nil {
		return nil, err
	}
	more, err := stored(ctx, conn)
	if err != nil {
		return names, nil //nolint:nilerr // without JetStream nothing is stored
	}
	return append(names, more...), nil
}

// led has the services that have leaders.
func led(ctx context.Context, conn *aegis.Conn) ([]string, error) {
	leaders, err := aegisadmin.New(conn).Leaders(ctx, aegis.AllServices)
	names := make([]string, 0, len(leaders))
	for i := range leaders {
		names = append(names, leaders[i].Service)
	}
	return names, err
}

func groups(ctx context.Context, conn *aegis.Conn, service string) ([]string, error) {
	leaders, err := aegisadmin.New(conn).Leaders(ctx, service)
	names := make([]string, 0, len(leaders))
	for i := range leaders {
		names = append(names, leaders[i].Group)
	}
	return names, err
}

// methods returns the function that names the methods of these patterns; without one, of
// all.
func methods(patterns ...aegisreflect.Pattern) func(context.Context, *aegis.Conn, string) ([]string, error) {
	return func(ctx context.Context, conn *aegis.Conn, service string) ([]string, error) {
		s, err := aegisreflect.New(conn).Service(ctx, service)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, m := range s.Methods() {
			if len(patterns) == 0 || slices.Contains(patterns, m.Pattern()) {
				names = append(names, m.Name()+"\t"+m.Pattern().String())
			}
		}
		return names, nil
	}
}
