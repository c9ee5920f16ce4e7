// Package mcp has the subcommand mcp: the methods of services as tools of a Model Context
// Protocol server, https://modelcontextprotocol.io.
package mcp

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// options are the flags of mcp.
type options struct {
	services    []string
	allowWrites bool
	maxMessages int
}

// Command returns the subcommand mcp.
func Command(app *cli.App, version string) *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "mcp",
		Short: "Offer the methods of services as tools of a Model Context Protocol server",
		Long: "Is a Model Context Protocol server on standard input and output, for programs that give tools to\n" +
			"language models. Each method is a tool: its description and the schema of its input come from the\n" +
			"proto, comments included. Tools come and go with the services that run.\n\n" +
			"Only methods that the proto declares as NO_SIDE_EFFECTS are offered, and they are marked as read\n" +
			"only. --allow-writes offers all others too: calls, broadcasts, streams, events to publish, and\n" +
			"commands, which answer with their result and tell their progress until then.",
		Example: "  aegis mcp --service order.v1.OrderService\n  aegis mcp --allow-writes --context staging",
		RunE: func(c *cobra.Command, _ []string) error {
			if o.maxMessages < 1 {
				return cli.Usagef("--max-messages %d: use 1 or more", o.maxMessages)
			}
			app.LogWay(slog.New(slog.NewTextHandler(app.Err, nil)))
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				return serve(ctx, app, conn, o, version)
			})
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.services, "service", nil, "offer the methods of this service alone; may be given several times (default: all services)")
	f.BoolVar(&o.allowWrites, "allow-writes", false, "offer methods that may change something, too")
	f.IntVar(&o.maxMessages, "max-messages", 100, "how many messages of a stream a tool returns at most")
	return cli.OneFormat(c)
}

func serve(ctx context.Context, app *cli.App, conn *aegis.Conn, o *options, version string) error {
	server := mcp.NewServer(&mcp.Implementation{Name: "aegis", Title: "Services on NATS", Version: version}, &mcp.ServerOptions{
		Instructions: "Each tool calls one method of a service on NATS. Results are protobuf's JSON; 64-bit integers are strings.",
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{ListChanged: true}},
	})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	catalogue := newCatalogue(app, conn, server, o)
	if err := catalogue.fill(ctx); err != nil {
		return err
	}
	go func() { cancel(catalogue.follow(ctx)) }()
	err := server.Run(ctx, &mcp.StdioTransport{})
	if err == nil || errors.Is(err, io.EOF) {
		return nil // the client has closed the standard input
	}
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		return cause
	}
	return err
}
