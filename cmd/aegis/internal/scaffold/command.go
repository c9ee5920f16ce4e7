// Package scaffold has the subcommand init, which makes a project.
package scaffold

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// flags are those of init.
type flags struct {
	patterns []string
	module   string
	aegis    string
}

// Command returns the subcommand init.
func Command(app *cli.App) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "init NAME",
		Short: "Make a project with a service, a client and tests",
		Long: "Makes a project in the new directory NAME: a proto, the code that is generated from it, a\n" +
			"server, a client, tests with a NATS server in their process, buf.yaml and buf.gen.yaml,\n" +
			"a Makefile and a Dockerfile. It builds and runs as it is: `aegis dev` starts it.\n\n" +
			"NAME is of lower-case letters and digits, in words with a - between them: shop, order-book.\n" +
			"A directory that has something in it is left as it is. If the project cannot be made\n" +
			"completely, nothing of it stays.\n\n" +
			"The go.mod requires the version of Aegis that this program is of. If the program was built\n" +
			"in a checkout, the go.mod replaces Aegis by this checkout, with a line that says so.",
		Example: "  aegis init shop && cd shop && aegis dev\n" +
			"  aegis init order-book --pattern single_active,event --module github.com/acme/order-book\n" +
			"  aegis init tour --pattern all",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, app, args[0]) },
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.patterns, "pattern", []string{methods[0].Pattern},
		"patterns that the service shows, with commas: "+strings.Join(patternNames(), ", "))
	fl.StringVar(&f.module, "module", "", "path of the Go module (default example.com/NAME)")
	fl.StringVar(&f.aegis, "aegis", "", "version of Aegis, such as v0.1.0, or the path of a checkout of it (default: that of this program)")
	_ = c.RegisterFlagCompletionFunc("pattern", cobra.FixedCompletions(patternNames(), cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown flag
	return cli.Offline(c)
}

// made is what init says in JSON.
type made struct {
	Directory string   `json:"directory"`
	Module    string   `json:"module"`
	Service   string   `json:"service"`
	Patterns  []string `json:"patterns"`
	Aegis     string   `json:"aegis"`
}

func (f *flags) run(c *cobra.Command, app *cli.App, name string) error {
	n, err := newNames(name, f.module)
	if err != nil {
		return err
	}
	p := project{names: n}
	if p.Methods, err = pick(f.patterns); err != nil {
		return err
	}
	if c.Flags().Changed("aegis") && f.aegis == "" {
		return cli.Usagef("--aegis is empty: name a version such as v0.1.0, or the path of a checkout")
	}
	if p.Aegis, err = newOrigin(f.aegis); err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := create(c.Context(), app, p, filepath.Join(here, name)); err != nil {
		return err
	}
	if work := workspaceAbove(filepath.Join(here, name)); work != "" {
		app.Notef("%s is a workspace without the project: add it with `go work use ./%s`.", work, name)
	}
	return p.say(app)
}

// say tells what was made, and what to do next.
func (p project) say(app *cli.App) error {
	if app.JSON() {
		out := made{Directory: p.Name, Module: p.Module, Service: p.ServiceName(), Aegis: p.Aegis.String()}
		for _, m := range p.Methods {
			out.Patterns = append(out.Patterns, m.Pattern)
		}
		return app.PrintJSON(out)
	}
	if p.Aegis.Dir != "" {
		app.Notef("This aegis is a development build: go.mod takes Aegis from %s.", p.Aegis.Dir)
	}
	return app.Printf("Made %s: %s, which shows %s.\n\n  cd %s\n"+
		"  aegis dev        # NATS and the server; it restarts when a file changes\n"+
		"  go run ./client  # in another terminal\n  make test\n",
		p.Name, p.ServiceName(), p.Shows(), p.Name)
}
