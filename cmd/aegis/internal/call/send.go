package call

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// sendOptions are the flags of send.
type sendOptions struct {
	metadata  methods.Metadata
	key       string
	notBefore string
	expiry    string
	priority  string
	await     bool
}

// priorities are the values of --priority.
var priorities = map[string]aegis.PriorityLevel{
	"low": aegis.PriorityLow, "normal": aegis.PriorityNormal, "high": aegis.PriorityHigh,
}

// sent is a command that was stored, as JSON shows it.
type sent struct {
	ID     string          `json:"id"`
	Result json.RawMessage `json:"result,omitempty"`
}

// Send returns the subcommand send.
func Send(app *cli.App) *cobra.Command {
	o := &sendOptions{}
	c := &cobra.Command{
		Use:   "send SERVICE/METHOD [JSON]",
		Short: "Send a command, and print its id",
		Long: "Stores a command and prints its id, with which `aegis result`, `progress` and `cancel` find it\n" +
			"again. JSON is the request: on the command line, @FILE, or - for the standard input.\n" +
			"With --await it prints the result instead, when the command has ended, and its progress on\n" +
			"standard error until then.",
		Example: "  aegis send order.v1.OrderService/ReconcileBook\n" +
			"  aegis send pay.v1.PayService/Pay '{\"cents\": 100}' --key invoice-7 --await",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			opts, err := o.sendOptions(time.Now())
			if err != nil {
				return err
			}
			return withMethod(c.Context(), app, args[0], func(ctx context.Context, m *aegisreflect.Method) error {
				return send(ctx, app, m, args[1:], o, opts)
			})
		},
	}
	f := c.Flags()
	o.metadata.Define(f, "the command")
	f.StringVar(&o.key, "key", "", "key of which there is one command at most: sending it again gives the same id (default: none)")
	f.StringVar(&o.notBefore, "not-before", "", "`TIME` before which the command is not begun: RFC 3339, or a duration from now (default: at once)")
	f.StringVar(&o.expiry, "expiry", "", "`TIME` after which the command is not begun any more: RFC 3339, or a duration from now (default: never)")
	f.StringVar(&o.priority, "priority", "normal", "how soon a worker takes the command: high, normal or low")
	f.BoolVar(&o.await, "await", false, "print the result of the command when it has ended (default: print its id when it is stored)")
	return c
}

func (o *sendOptions) sendOptions(now time.Time) ([]aegis.SendOption, error) {
	level, known := priorities[o.priority]
	if !known {
		return nil, cli.Usagef("--priority %s: use high, normal or low", o.priority)
	}
	var opts []aegis.SendOption
	if level != aegis.PriorityNormal {
		opts = append(opts, aegis.Priority(level))
	}
	if o.key != "" {
		opts = append(opts, aegis.DedupeKey(o.key))
	}
	if o.notBefore != "" {
		t, err := parseTime("--not-before", o.notBefore, now)
		if err != nil {
			return nil, err
		}
		opts = append(opts, aegis.NotBefore(t))
	}
	if o.expiry != "" {
		t, err := parseTime("--expiry", o.expiry, now)
		if err != nil {
			return nil, err
		}
		opts = append(opts, aegis.Expiry(t))
	}
	return opts, nil
}

// parseTime reads a time, or a duration that is added to now.
func parseTime(flag, value string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(value); err == nil {
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, cli.Usagef("%s %q: use a time such as 2026-11-28T15:04:05Z, or a duration such as 10m", flag, value)
	}
	return t, nil
}

// withMethod connects, finds a method, and has use work with it.
func withMethod(ctx context.Context, app *cli.App, arg string, use func(context.Context, *aegisreflect.Method) error) error {
	return app.WithConn(ctx, func(ctx context.Context, conn *aegis.Conn) error {
		m, err := methods.Find(ctx, conn, arg)
		if err != nil {
			return failure(app, nil, err)
		}
		err = use(ctx, m)
		if ctx.Err() != nil {
			return err // Ctrl-C is no failure to tell of
		}
		return failure(app, m.Service(), err)
	})
}

func send(ctx context.Context, app *cli.App, m *aegisreflect.Method, args []string, o *sendOptions, opts []aegis.SendOption) error {
	req, err := methods.Request(app, m, args)
	if err != nil {
		return err
	}
	withMetadata, _, err := o.metadata.Attach(ctx)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(withMetadata, app.Timeout)
	defer cancel()
	command, err := m.Send(bounded, req, opts...)
	if err != nil {
		return err
	}
	if o.await {
		app.Notef("command %s is stored", command.ID())
		return await(ctx, app, command, true)
	}
	if app.JSON() {
		return app.PrintJSON(sent{ID: command.ID()})
	}
	return app.Printf("%s\n", command.ID())
}

// await prints the result of a command when it has ended, and its progress until then if
// that is wanted.
func await(ctx context.Context, app *cli.App, command *aegisreflect.Command, progress bool) error {
	if progress {
		for p, err := range command.Progress(ctx) {
			if err != nil {
				break // Result says why
			}
			app.Notef("%3.0f %%  %s", p.Percent, cli.Clean(p.Message))
		}
	}
	res, err := command.Result(ctx)
	if err != nil {
		return err
	}
	text, err := command.Method().Service().JSON(res)
	if err != nil {
		return err
	}
	return app.PrintJSON(rawJSON(text))
}
