// Package lintoptions has the subcommand lint-options: which changes of services and their
// options break programs that run, or messages that are stored.
package lintoptions

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/generate"
	"github.com/aegisrpc/aegis/internal/codegen"
)

const long = `Compares the services of the .proto files here with how they were, and prints each change
that breaks programs that run or messages that are stored: a method that is gone or has
another pattern, another key of an event, fewer partitions, and so on (docs/versions.md has
the list). Messages and fields are the business of "buf breaking".

--against says how they were:
  a directory   another checkout, whose .proto files are compiled
  a file        an image of "buf build -o", or a FileDescriptorSet with its imports
  a git ref     a branch, tag or commit of the repository here, such as main, v1.2.0 or
                HEAD~1, which is read with git and not checked out
A file or directory of that name is taken before a git ref; refs/heads/NAME names the branch.

INPUT is the directory whose files are compared, a workspace or a module of one; without it
the working directory. Of a git ref, the same directory is taken.

The exit code is 1 if there is such a change.`

// result is the output as JSON.
type result struct {
	Against string   `json:"against"`
	Changes []string `json:"changes"`
}

// Command returns the subcommand lint-options.
func Command(app *cli.App) *cobra.Command {
	var against string
	c := &cobra.Command{
		Use:   "lint-options --against DIR|IMAGE|REF [INPUT]",
		Short: "Print changes of methods and options that break what runs or is stored",
		Long:  long,
		Example: "  aegis lint-options --against main\n" +
			"  aegis lint-options --against ../shop-1.4\n" +
			"  aegis lint-options --against before.binpb",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if against == "" {
				return cli.Usagef("lint-options needs something to compare with, such as --against main")
			}
			input := "."
			if len(args) == 1 {
				input = args[0]
			}
			return lint(c.Context(), app, against, input)
		},
	}
	c.Flags().StringVar(&against, "against", "", "how the services were: a directory, an image or a git ref (required)")
	return cli.Offline(c)
}

func lint(ctx context.Context, app *cli.App, against, input string) error {
	changes, err := compare(ctx, app, against, input)
	if err != nil {
		return generate.Told("nothing is compared", err)
	}
	err = app.Print(result{Against: against, Changes: changes}, func(*cli.Table) {})
	if app.JSON() {
		if err == nil && len(changes) > 0 {
			return cli.Exit(1)
		}
		return err
	}
	for _, change := range changes {
		if err := app.Printf("%s\n", cli.Clean(change)); err != nil {
			return err
		}
	}
	switch len(changes) {
	case 0:
		app.Notef("No change since %s breaks what runs or is stored.", against)
		return nil
	case 1:
		return fmt.Errorf("1 change since %s breaks what runs or what is stored", against)
	default:
		return fmt.Errorf("%d changes since %s break what runs or what is stored", len(changes), against)
	}
}

// compare returns the changes from before to now. They are never nil.
func compare(ctx context.Context, app *cli.App, against, input string) ([]string, error) {
	progress := app.Progress("compiling")
	defer progress.Done()
	set, err := generate.Compile(ctx, bufconfig.Input{Dir: input}, "", nil)
	if err != nil {
		return nil, err
	}
	now, err := proto.Marshal(set.Image())
	if err != nil {
		return nil, err
	}
	progress.Sayf("reading %s", against)
	before, err := imageOf(ctx, against, input)
	if err != nil {
		return nil, err
	}
	changes, err := codegen.Against(before, now)
	if err != nil {
		return nil, err
	}
	return append([]string{}, changes...), nil
}
