package deadletters

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/payload"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// filterFlags pick dead letters.
type filterFlags struct{ reason, consumer string }

func (f *filterFlags) define(c *cobra.Command) {
	c.Flags().StringVar(&f.reason, "reason", "", "only dead letters with this reason; words with digits may differ, as in the groups (default: all)")
	c.Flags().StringVar(&f.consumer, "subscriber", "", "only events that this subscriber gave up, as the groups show it (default: all)")
}

func (f *filterFlags) filter(t methods.Target) aegisadmin.LetterFilter {
	return aegisadmin.LetterFilter{Method: t.Name, Reason: aegisadmin.ReasonPattern(f.reason), Consumer: f.consumer}
}

// letter is a dead letter as JSON shows it.
type letter struct {
	Service  string              `json:"service"`
	Method   string              `json:"method"`
	Sequence uint64              `json:"sequence"`
	Time     time.Time           `json:"time"`
	Reason   string              `json:"reason"`
	Attempts int                 `json:"attempts"`
	Command  string              `json:"command,omitempty"`
	Consumer string              `json:"consumer,omitempty"`
	Subject  string              `json:"subject"`
	Origin   uint64              `json:"origin"`
	Bytes    int                 `json:"bytes"`
	Omitted  int                 `json:"omitted,omitempty"`
	Metadata map[string][]string `json:"metadata,omitempty"`
	Message  *payload.Payload    `json:"message,omitempty"`
}

func letterOf(d *aegis.DeadLetter) letter {
	return letter{
		Service: d.Service, Method: d.Method, Sequence: d.Sequence, Time: d.Time, Reason: d.Reason, Attempts: d.Attempts,
		Command: d.ID, Consumer: d.Consumer, Subject: d.Subject, Origin: d.Origin, Bytes: len(d.Data), Omitted: d.Omitted, Metadata: d.Header,
	}
}

// list returns the subcommand that lists dead letters.
func list(app *cli.App) *cobra.Command {
	var filter filterFlags
	var limit stored.Limit
	c := &cobra.Command{
		Use:   "list SERVICE[/METHOD]",
		Short: "List dead letters, the oldest first",
		Long:  "Lists dead letters in the order in which they were given up. With -o json each is one line.",
		Example: "  aegis deadletters list order.v1.OrderService\n" +
			"  aegis deadletters list order.v1.OrderService/OrderPlaced --subscriber g-risk-OrderPlaced --limit 20",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := methods.Parse(args[0])
			if err != nil {
				return err
			}
			if err := limit.Check(); err != nil {
				return err
			}
			return stored.WithAdmin(c.Context(), app, func(ctx context.Context, _ *aegis.Conn, admin *aegisadmin.Admin) error {
				return listLetters(ctx, app, admin, t, filter.filter(t), &limit)
			})
		},
	}
	filter.define(c)
	limit.Define(c, "dead letters")
	return c
}

func listLetters(ctx context.Context, app *cli.App, admin *aegisadmin.Admin, to methods.Target, f aegisadmin.LetterFilter, limit *stored.Limit) error {
	n, err := stored.List(app, "reading the dead letters of "+to.String(), limit, admin.DeadLetters(ctx, to.Service, f), letterOf, fillLetters)
	if n > 0 || err != nil {
		return err
	}
	return none(ctx, app, admin, to)
}

func fillLetters(t *cli.Table, rows []letter) {
	t.Header("SEQUENCE", "METHOD", "SUBSCRIBER", "AGE", "ATTEMPTS", "SIZE", "REASON")
	for i := range rows {
		r := &rows[i]
		t.Row(r.Sequence, r.Method, r.Consumer, cli.Age(r.Time), r.Attempts, r.size(), r.Reason)
	}
}

func (l *letter) size() string {
	if l.Omitted > 0 {
		return cli.Bytes(l.Omitted) + " left out"
	}
	return cli.Bytes(l.Bytes)
}

// sequenceOf reads the sequence of a dead letter.
func sequenceOf(arg string) (uint64, error) {
	n, err := strconv.ParseUint(arg, 10, 64)
	if err != nil || n == 0 {
		return 0, cli.Usagef("%q is no sequence of a dead letter: `aegis deadletters list` shows them", arg)
	}
	return n, nil
}

// show returns the subcommand that shows a dead letter.
func show(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:     "show SERVICE SEQUENCE",
		Short:   "Show one dead letter: its reason, metadata and message",
		Long:    "Shows a dead letter by its sequence, with its message as JSON where the descriptors of the service\ncan be had.",
		Example: "  aegis deadletters show order.v1.OrderService 17\n  aegis deadletters show order.v1.OrderService 17 -o json",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := methods.Parse(args[0])
			if err != nil {
				return err
			}
			sequence, err := sequenceOf(args[1])
			if err != nil {
				return err
			}
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				d, err := conn.DeadLetter(ctx, t.Service, sequence)
				if err != nil {
					return err
				}
				return showLetter(ctx, app, conn, d)
			})
		},
	}
}

func showLetter(ctx context.Context, app *cli.App, conn *aegis.Conn, d *aegis.DeadLetter) error {
	l := letterOf(d)
	l.Message = payload.NewReader(conn, d.Service).Read(ctx, d.Method, false, "", d.Data)
	return app.Print(l, func(t *cli.Table) {
		add := func(name, text string) {
			if text != "" {
				t.Row(cli.Styled{Text: name, Colour: cli.Bold}, text)
			}
		}
		add("Dead letter", strconv.FormatUint(l.Sequence, 10))
		add("Service", l.Service)
		add("Method", l.Method)
		add("Command", l.Command)
		add("Subscriber", l.Consumer)
		add("Given up", cli.Clock(l.Time)+", "+cli.Age(l.Time)+" ago")
		add("Attempts", strconv.Itoa(l.Attempts))
		add("Reason", l.Reason)
		add("Published to", l.Subject)
		for _, key := range slices.Sorted(maps.Keys(l.Metadata)) {
			add("Metadata "+key, strings.Join(l.Metadata[key], ", "))
		}
		if l.Omitted > 0 {
			add("Message", cli.Bytes(l.Omitted)+" were left out, as NATS would not have taken the letter")
			return
		}
		add("Message", l.Message.Text())
	})
}
