package call

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// eventLine is an event as it is printed.
type eventLine struct {
	Sequence uint64          `json:"sequence,omitempty"`
	Time     time.Time       `json:"time"`
	Header   aegis.Header    `json:"header,omitempty"`
	Event    json.RawMessage `json:"event,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// Subscribe returns the subcommand subscribe.
func Subscribe(app *cli.App) *cobra.Command {
	var from string
	var count int
	c := &cobra.Command{
		Use:   "subscribe SERVICE/METHOD",
		Short: "Print events as they are published",
		Long: "Prints events, one line of JSON each, until Ctrl-C. It only looks: no subscriber of the service gets\n" +
			"an event less, and nothing is acknowledged. Durable events can be read from earlier ones on, and\n" +
			"none is missed while NATS is away.",
		Example: "  aegis subscribe order.v1.OrderService/OrderPlaced\n" +
			"  aegis subscribe order.v1.OrderService/OrderPlaced --from 1h --count 10",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			position, err := parsePosition(from, time.Now())
			if err != nil {
				return err
			}
			if count < 0 {
				return cli.Usagef("--count %d: use 1 or more, or 0 for no end", count)
			}
			return withMethod(c.Context(), app, args[0], func(ctx context.Context, m *aegisreflect.Method) error {
				return follow(ctx, app, m, position, count)
			})
		},
	}
	c.Flags().StringVar(&from, "from", "new", "first event: new, all, a sequence, a time (RFC 3339), or a duration before now")
	c.Flags().IntVarP(&count, "count", "c", 0, "how many events to print (default 0: all, until Ctrl-C)")
	return c
}

func parsePosition(from string, now time.Time) (aegis.Position, error) {
	switch from {
	case "new":
		return aegis.StartNew(), nil
	case "all":
		return aegis.StartAll(), nil
	}
	if n, err := strconv.ParseUint(from, 10, 64); err == nil && n > 0 {
		return aegis.StartSequence(n), nil
	}
	if d, err := time.ParseDuration(from); err == nil {
		return aegis.StartTime(now.Add(-d)), nil
	}
	t, err := time.Parse(time.RFC3339, from)
	if err != nil {
		return aegis.Position{}, cli.Usagef("--from %q: use new, all, a sequence from 1 on, a time such as 2026-11-28T15:04:05Z, or a duration such as 10m", from)
	}
	return aegis.StartTime(t), nil
}

func follow(ctx context.Context, app *cli.App, m *aegisreflect.Method, from aegis.Position, count int) error {
	events, err := m.Observe(ctx, from)
	if err != nil {
		return err
	}
	defer events.Close()
	app.Logger().Info("aegis: following " + m.FullName())
	for n := 0; count == 0 || n < count; n++ {
		event, err := events.Recv()
		if aegis.CodeOf(err) == aegis.CodeDataLoss {
			app.Notef("aegis: %s", cli.Clean(err.Error())) // the next events follow
			n--
			continue
		}
		if err != nil {
			return err
		}
		if err := printEvent(app, m.Service(), event); err != nil {
			return err
		}
	}
	return nil
}

func printEvent(app *cli.App, service *aegisreflect.Service, event *aegisreflect.Event) error {
	line := eventLine{Sequence: event.Sequence, Time: event.Time, Header: event.Header}
	if event.Err != nil {
		line.Error = event.Err.Error()
		return app.PrintLine(line)
	}
	text, err := service.JSON(event.Message)
	if err != nil {
		return err
	}
	line.Event = text
	return app.PrintLine(line)
}
