package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/aegisrpc/aegis/internal/codegen"
	protos "github.com/aegisrpc/aegis/proto"
)

const usage = `usage of protoc-gen-aegis:
  buf and protoc run it without arguments
  --version             print the version
  --export-protos DIR   write aegis/v1/*.proto below DIR, for a workspace without network
  --against OLD NEW     compare two images (buf build -o): which changes break what runs or is stored
  --help                print this`

// run is the program as a function of its arguments and streams, so that tests can call
// it. It returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if err := command(args, stdin, stdout); err != nil {
		fmt.Fprintln(stderr, "protoc-gen-aegis:", err)
		return 1
	}
	return 0
}

func command(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("protoc-gen-aegis", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	version := flags.Bool("version", false, "")
	export := flags.String("export-protos", "", "")
	before := flags.String("against", "", "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err = fmt.Fprintln(stdout, usage)
		return err
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	case given(flags, "against"):
		return against(*before, flags.Args(), stdout)
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q\n%s", flags.Arg(0), usage)
	case *version:
		_, err = fmt.Fprintln(stdout, "protoc-gen-aegis", codegen.Version)
		return err
	case given(flags, "export-protos"):
		return exportProtos(*export, protos.Files, stdout)
	default:
		return codegen.New(codegen.Version).Serve(stdin, stdout)
	}
}

// given reports whether the command line has a flag, even an empty one.
func given(flags *flag.FlagSet, name string) bool {
	found := false
	flags.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
