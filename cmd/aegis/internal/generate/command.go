package generate

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

const long = `Generates Go code as "buf generate" does, byte for byte, without buf and protoc: it reads
buf.gen.yaml and buf.yaml (or buf.work.yaml), compiles the .proto files, and runs
protoc-gen-go and protoc-gen-aegis, both of which it has in itself. How the template calls
them makes no difference (a name, a path, "go run", "go tool"); a note says if go would take
one of them in another version.

INPUT is a directory: a workspace, or a module of one. Without it, the inputs of the
template count, else the working directory. Imports of aegis/v1/options.proto, of
buf/validate/validate.proto (protovalidate) and of the well-known types are found without
being in the workspace.

Sections of buf.yaml for lint and breaking are for other commands and not looked at. All
else that is not supported (remote plugins, other plugins, other deps, inputs that are no
directories) is refused before anything is done, with file and line: docs/generate.md has
the list. Mistakes in .proto files are told all at once, as file:line:column.

Nothing is written unless everything has succeeded, and a file that would not change is not
touched. The exit code is 1 where buf's is 100.`

// Command returns the subcommand generate.
func Command(app *cli.App) *cobra.Command {
	o := Options{}
	var clean, imports, wkt bool
	c := &cobra.Command{
		Use:   "generate [INPUT]",
		Short: "Generate code from .proto files, as buf generate does, without buf",
		Long:  long,
		Example: "  aegis generate\n" +
			"  aegis generate --path proto/shop/v1\n" +
			"  aegis generate --template buf.gen.yaml --output build proto",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Input = args[0]
			}
			o.Clean = given(c.Flags(), "clean", &clean)
			o.IncludeImports = given(c.Flags(), "include-imports", &imports)
			o.IncludeWKT = given(c.Flags(), "include-wkt", &wkt)
			if wkt && !imports {
				return cli.Usagef("--include-wkt needs --include-imports beside it")
			}
			return generate(c, app, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Template, "template", "", "template, a file (.yaml, .yml, .json) or its text (default buf.gen.yaml)")
	f.StringVarP(&o.Base, "output", "o", ".", "directory that the out of each plugin is relative to")
	f.StringSliceVar(&o.Paths, "path", nil, "only files in this file or directory; may be given several times (default: all)")
	f.StringSliceVar(&o.ExcludePaths, "exclude-path", nil, "no files in this file or directory; may be given several times (default: none)")
	f.StringVar(&o.Config, "config", "", "a buf.yaml in place of that of the workspace (default: that of the workspace)")
	f.BoolVar(&clean, "clean", false, "delete what is in the out directories and was not generated (default: as the template says)")
	f.BoolVar(&imports, "include-imports", false, "generate imported files too, except well-known types (default: as the template says)")
	f.BoolVar(&wkt, "include-wkt", false, "with --include-imports: well-known types too (default: as the template says)")
	return cli.Offline(c)
}

// given returns the value of a flag; nil if the command line does not have it.
func given(flags *pflag.FlagSet, name string, value *bool) *bool {
	if !flags.Changed(name) {
		return nil
	}
	return value
}

func generate(c *cobra.Command, app *cli.App, o Options) error {
	begun := time.Now()
	progress := app.Progress("reading the template")
	s, err := Run(c.Context(), o, progress.Sayf)
	progress.Done()
	if err != nil {
		return Told("nothing is generated", err)
	}
	for _, note := range s.Notes {
		app.Notef("aegis: %s", note)
	}
	deleted := ""
	if s.Deleted > 0 {
		deleted = fmt.Sprintf(", %d deleted", s.Deleted)
	}
	return app.Printf("%d files written, %d unchanged%s, in %v\n", s.Written, s.Unchanged, deleted, time.Since(begun).Round(time.Millisecond))
}
