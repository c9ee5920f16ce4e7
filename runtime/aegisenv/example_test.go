package aegisenv_test

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// A service takes everything from its environment.
//
//nolint:testableexamples // it needs a NATS server
func ExampleConnect() {
	ctx := context.Background()
	conn, err := aegisenv.Connect(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
}

// Options go over the environment.
//
//nolint:testableexamples // it needs a NATS server
func ExampleConnect_options() {
	ctx := context.Background()
	conn, err := aegisenv.Connect(ctx, aegis.WithNATSOptions(nats.Name("billing")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
}

// A tool for the terminal has flags as well, and uses the selected NATS context.
func ExampleBindFlags() {
	flags := flag.NewFlagSet("tool", flag.ContinueOnError)
	settings := aegisenv.Settings{SelectedContext: true}
	aegisenv.BindFlags(&settings, func(value *string, name, variable, usage string) {
		flags.StringVar(value, name, "", usage+" [$"+variable+"]")
	})
	if err := flags.Parse(strings.Fields("--server nats://a:4222 --creds user.creds --nkey user.nk")); err != nil {
		fmt.Println(err)
	}
	conn, err := settings.Connect(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(context.Background())
	// Output: aegis: --creds and --nkey contradict each other: there is one way to authenticate, so give one of them
}
