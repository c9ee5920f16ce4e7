// Package call has the subcommands that call methods, send commands, and publish and follow
// events, by reflection.
package call

import (
	"context"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// Command returns the subcommand call.
func Command(app *cli.App) *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "call SERVICE/METHOD [JSON...]",
		Short: "Call a method with JSON, and print what it answers",
		Long: "Calls a method of a service that runs: unary, streams in both directions, broadcasts, and\n" +
			"methods of an elected leader. The service tells its descriptors, so no .proto file is needed.\n" +
			"JSON is the request, as protobuf defines JSON: on the command line, in a file (@FILE), or on\n" +
			"the standard input (-); the empty message if it is left out. A method with a stream of\n" +
			"requests takes any number of them; without any it reads the standard input, and sends each\n" +
			"message as it comes.\n\n" +
			"Responses are printed as JSON: those of a stream one a line, those of a broadcast with the\n" +
			"instance that each one comes from. The exit code is 1 if the call fails; of a broadcast, if\n" +
			"any instance fails or does not answer. --timeout bounds the whole call; without it that is the\n" +
			"timeout of the method, and a stream has none.",
		Example: "  aegis call order.v1.OrderService/GetOrder '{\"id\": \"1\"}'\n" +
			"  aegis call order.v1.OrderService/WatchOrders\n" +
			"  aegis call chat.v1.ChatService/Upload - <messages.jsonl\n" +
			"  aegis call echo.v1.EchoService/Echo '{\"text\": \"hi\"}' --instance echo-1 -H 'tenant: acme'\n" +
			"  aegis call echo.v1.EchoService/Echo '{\"text\": \"hi\"}' --where developer=anna",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.bounded = c.Flags().Changed("timeout")
			callOpts, err := o.callOptions()
			if err != nil {
				return err
			}
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				method, err := o.route.Find(ctx, conn, args[0])
				if err != nil {
					return failure(app, nil, err)
				}
				caller := &caller{app: app, conn: conn, method: method, opts: callOpts, o: o}
				err = caller.run(ctx, args[1:])
				if ctx.Err() != nil {
					return err // Ctrl-C is no failure to tell of
				}
				return failure(app, method.Service(), err)
			})
		},
	}
	o.define(c)
	return c
}

// caller makes one call.
type caller struct {
	app    *cli.App
	conn   *aegis.Conn
	method *aegisreflect.Method
	opts   []aegis.CallOption
	o      *options
}

func (c *caller) run(ctx context.Context, args []string) error {
	if c.o.bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.app.Timeout)
		defer cancel()
	}
	if c.o.trace {
		return c.runTraced(ctx, args)
	}
	if err := c.check(); err != nil {
		return err
	}
	ctx, call, err := c.o.metadata.Attach(ctx)
	if err != nil {
		return err
	}
	desc := c.method.Descriptor()
	switch {
	case c.method.Pattern() == aegisreflect.PatternBroadcast:
		return c.broadcast(ctx, args)
	case desc.IsStreamingClient() && desc.IsStreamingServer():
		err = c.bidi(ctx, args)
	case desc.IsStreamingClient():
		err = c.upload(ctx, args)
	case desc.IsStreamingServer():
		err = c.stream(ctx, args)
	default:
		err = c.unary(ctx, args)
	}
	if c.o.include {
		c.printMetadata(call)
	}
	return err
}

// check returns an error if the method is not called, or not by such a route.
func (c *caller) check() error {
	switch c.method.Pattern() {
	case aegisreflect.PatternCommand:
		return cli.Usagef("%s is a command: use aegis send", c.method.FullName())
	case aegisreflect.PatternEvent:
		return cli.Usagef("%s is an event: use aegis publish", c.method.FullName())
	case aegisreflect.PatternLoadBalanced, aegisreflect.PatternSingleActive, aegisreflect.PatternBroadcast:
	}
	return c.o.route.Check(c.method.FullName(), spec.Pattern(c.method.Pattern()))
}

func (c *caller) unary(ctx context.Context, args []string) error {
	req, err := methods.Request(c.app, c.method, args)
	if err != nil {
		return err
	}
	res, err := c.method.Call(ctx, req, c.opts...)
	if err != nil {
		return err
	}
	return c.printResponse(res)
}

// printResponse prints the only response of a call, over several lines.
func (c *caller) printResponse(res *dynamicpb.Message) error {
	text, err := c.method.Service().JSON(res)
	if err != nil {
		return err
	}
	return c.app.PrintJSON(rawJSON(text))
}

// printMessage prints one response of several, in one line.
func (c *caller) printMessage(res *dynamicpb.Message) error {
	text, err := c.method.Service().JSON(res)
	if err != nil {
		return err
	}
	return c.app.PrintLine(rawJSON(text))
}

func (c *caller) printMetadata(call *aegis.Call) {
	for _, h := range []aegis.Header{call.ResponseHeader(), call.ResponseTrailer()} {
		for _, key := range slices.Sorted(maps.Keys(h)) {
			for _, value := range h.Values(key) {
				c.app.Notef("%s: %s", cli.Clean(key), cli.Clean(value))
			}
		}
	}
}

// rawJSON is JSON that is written as it is.
type rawJSON []byte

// MarshalJSON returns the JSON.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// ended tells whether an error of Recv is the good end of a stream.
func ended(err error) bool { return err == io.EOF } //nolint:errorlint // only the end itself is one
