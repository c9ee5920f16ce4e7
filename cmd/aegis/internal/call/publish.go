package call

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// stored is an event that was stored, as JSON shows it.
type stored struct {
	Stream    string `json:"stream"`
	Sequence  uint64 `json:"sequence"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// Publish returns the subcommand publish.
func Publish(app *cli.App) *cobra.Command {
	var metadata methods.Metadata
	var id string
	c := &cobra.Command{
		Use:   "publish SERVICE/METHOD [JSON...]",
		Short: "Publish events",
		Long: "Publishes events: JSON on the command line, @FILE or -, which may have any number of JSON values;\n" +
			"without JSON the standard input is read, and each event is published as it comes. Of a durable\n" +
			"event it prints the stream and the sequence under which it is stored.",
		Example: "  aegis publish order.v1.OrderService/OrderPlaced '{\"order\": {\"id\": \"1\", \"symbol\": \"AEG\"}}'\n" +
			"  aegis publish order.v1.OrderService/OrderPlaced - <events.jsonl",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if id != "" && len(args) != 2 {
				return cli.Usagef("--id is that of one event: give one")
			}
			return withMethod(c.Context(), app, args[0], func(ctx context.Context, m *aegisreflect.Method) error {
				return publish(ctx, app, m, args[1:], &metadata, id)
			})
		},
	}
	metadata.Define(c.Flags(), "the events")
	c.Flags().StringVar(&id, "id", "", "message id: a durable event with an id that was stored lately is not stored again (default: none)")
	return c
}

func publish(ctx context.Context, app *cli.App, m *aegisreflect.Method, args []string, metadata *methods.Metadata, id string) error {
	var opts []aegis.PublishOption
	if id != "" {
		opts = append(opts, aegis.MessageID(id))
	}
	n := 0
	for event, err := range methods.Requests(app, m, args) {
		if err != nil {
			return err
		}
		withMetadata, _, err := metadata.Attach(ctx)
		if err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(withMetadata, app.Timeout)
		ack, err := m.Publish(bounded, event, opts...)
		cancel()
		if err != nil {
			return err
		}
		n++
		if err := printAck(app, ack); err != nil {
			return err
		}
	}
	if !m.Durable() {
		app.Notef("%d published", n)
	}
	return nil
}

// printAck prints where a durable event is stored.
func printAck(app *cli.App, ack *aegis.PubAck) error {
	if ack == nil {
		return nil
	}
	if app.JSON() {
		return app.PrintLine(stored{ack.Stream, ack.Sequence, ack.Duplicate})
	}
	duplicate := ""
	if ack.Duplicate {
		duplicate = "  stored before"
	}
	return app.Printf("%s  %d%s\n", ack.Stream, ack.Sequence, duplicate)
}
