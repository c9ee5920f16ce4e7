// Command clidoc writes what is made from the commands and the documents: docs/cli.md, the
// reference of the command aegis, and llms.txt, the index of all documents for programs that
// read them (https://llmstxt.org). It is run in the root of the module.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/root"
)

const head = `# The command aegis

Every subcommand, with its flags and examples: the text of ` + "`aegis SUBCOMMAND --help`" + `, from which
` + "`make generate`" + ` makes this page.

    go install github.com/aegisrpc/aegis/cmd/aegis@latest

`

func main() {
	err := errors.Join(save("docs/cli.md", reference()), saveIndex("."))
	if err != nil {
		fmt.Fprintln(os.Stderr, "clidoc:", err)
		os.Exit(1)
	}
}

func saveIndex(root string) error {
	text, err := index(root)
	if err != nil {
		return err
	}
	return save(filepath.Join(root, "llms.txt"), text)
}

func save(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }

// reference returns docs/cli.md.
func reference() string {
	top := root.Command(new(cli.App))
	var b strings.Builder
	b.WriteString(head)
	contents(&b, top)
	b.WriteString("\n## Flags of all commands\n\n" + flagTable(top.PersistentFlags()))
	commands(&b, top)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// contents lists the subcommands by their groups.
func contents(b *strings.Builder, top *cobra.Command) {
	for _, g := range top.Groups() {
		if !slices.ContainsFunc(top.Commands(), func(c *cobra.Command) bool { return c.GroupID == g.ID }) {
			continue
		}
		fmt.Fprintf(b, "%s\n\n| | |\n|---|---|\n", g.Title)
		for _, c := range top.Commands() {
			if c.GroupID == g.ID {
				fmt.Fprintf(b, "| [%s](#%s) | %s |\n", c.Name(), anchor(c), cell(c.Short))
			}
		}
		b.WriteString("\n")
	}
	_, details, _ := strings.Cut(top.Long, "\n\n")
	b.WriteString(details + "\n")
}

func commands(b *strings.Builder, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		level := "##"
		if parent.HasParent() {
			level = "###"
		}
		fmt.Fprintf(b, "\n%s %s\n\n", level, c.CommandPath())
		if long := c.Long; long != "" {
			b.WriteString(long + "\n")
		} else {
			b.WriteString(c.Short + ".\n")
		}
		if c.Runnable() {
			fmt.Fprintf(b, "\n    %s\n", c.UseLine())
		}
		if c.Example != "" {
			fmt.Fprintf(b, "\nFor example\n\n```sh\n%s\n```\n", outdent(c.Example))
		}
		if table := flagTable(c.NonInheritedFlags()); table != "" {
			b.WriteString("\n" + table)
		}
		b.WriteString(takes(c))
		commands(b, c)
	}
}

// takes says which flags of all commands a command takes, if it does not take all.
func takes(c *cobra.Command) string {
	taken, refused := cli.Taken(c)
	names, verb := refused, "all but"
	switch {
	case len(refused) == 0 || !c.Runnable():
		return ""
	case len(taken) < len(refused):
		names, verb = taken, "only"
	}
	for i, name := range names {
		names[i] = "`--" + name + "`"
	}
	return "\nOf the flags of all commands it takes " + verb + " " + strings.Join(names, ", ") + ".\n"
}

// flagTable returns a table of flags, "" if there are none to show.
func flagTable(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + strings.ToUpper(kind)
		}
		name += "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		standard := ""
		if kind != "" && f.DefValue != "" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" {
			standard = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, cell(usage), cell(standard))
	})
	if b.Len() == 0 {
		return ""
	}
	return "| flag | | default |\n|---|---|---|\n" + b.String()
}

func anchor(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}

// outdent takes the indentation of the help away.
func outdent(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}
