// Command aegis looks at, calls, loads and runs services that Aegis generates:
// `aegis --help` lists its subcommands, docs/cli.md describes them.
package main

import (
	"os"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/root"
)

func main() {
	os.Exit(cli.Main(root.Command, os.Args[1:]))
}
