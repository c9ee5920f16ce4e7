package instances

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// pinged is one instance, or NATS itself, as JSON shows it.
type pinged struct {
	Name     string          `json:"name"`
	Sent     int             `json:"sent"`
	Answered int             `json:"answered"`
	RTT      []time.Duration `json:"rtt_ns"`

	process string
}

type pingOptions struct {
	count    int
	interval time.Duration
}

// Ping returns the subcommand ping.
func Ping(app *cli.App) *cobra.Command {
	o := &pingOptions{}
	c := &cobra.Command{
		Use:   "ping [SERVICE]",
		Short: "Measure the time to NATS, and to each instance of a service",
		Long: "Measures how long NATS takes to answer and, with SERVICE, how long each instance does. The\n" +
			"instances answer the PING of NATS micro, which runs no handler. The exit code is 1 if an instance\n" +
			"that the registry knows has not answered within --timeout.",
		Example: "  aegis ping\n  aegis ping order.v1.OrderService --count 10",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.count < 1 || o.count > 10_000 {
				return cli.Usagef("--count %d: use 1 to 10000", o.count)
			}
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				return ping(ctx, app, conn, args, o)
			})
		},
	}
	c.Flags().IntVarP(&o.count, "count", "c", 3, "how often to ask")
	c.Flags().DurationVar(&o.interval, "interval", 100*time.Millisecond, "pause between two questions")
	return c
}

func ping(ctx context.Context, app *cli.App, conn *aegis.Conn, args []string, o *pingOptions) error {
	rows := []*pinged{{Name: "NATS"}}
	if len(args) == 1 {
		instances, err := conn.Instances(ctx, args[0])
		if err != nil {
			return err
		}
		if len(instances) == 0 {
			return unknownService(ctx, conn, args[0])
		}
		for _, i := range instances {
			rows = append(rows, &pinged{Name: i.Name, process: i.Process})
		}
	}
	for n := range o.count {
		if n > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(o.interval):
			}
		}
		rtt, err := conn.NATS().RTT()
		if err != nil {
			return fmt.Errorf("NATS does not answer: %w", err)
		}
		rows[0].answer(rtt)
		if len(args) == 1 {
			if err := pingInstances(ctx, app, conn.NATS(), args[0], rows[1:]); err != nil {
				return err
			}
		}
	}
	for _, r := range rows {
		r.Sent = o.count
	}
	return printPings(app, rows)
}

func (p *pinged) answer(rtt time.Duration) {
	p.Answered++
	p.RTT = append(p.RTT, rtt)
}

// pingInstances asks all instances of a service once, and waits until each has answered or
// the time is over.
func pingInstances(ctx context.Context, app *cli.App, nc *nats.Conn, service string, rows []*pinged) error {
	ctx, cancel := context.WithTimeout(ctx, app.Timeout)
	defer cancel()
	subject, err := micro.ControlSubject(micro.PingVerb, wire.MicroName(service), "")
	if err != nil {
		return err
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	begun := time.Now()
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return err
	}
	for waiting := len(rows); waiting > 0; {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil // printPings tells which instances have not answered
		}
		var body micro.Ping
		if json.Unmarshal(msg.Data, &body) != nil {
			continue // "no responders", or no answer of a service
		}
		if i := slices.IndexFunc(rows, func(p *pinged) bool { return p.process == body.ID }); i >= 0 {
			rows[i].answer(time.Since(begun))
			waiting--
		}
	}
	return nil
}

func printPings(app *cli.App, rows []*pinged) error {
	err := app.Print(rows, func(t *cli.Table) {
		t.Header("NAME", "ANSWERED", "MIN", "MEDIAN", "MAX")
		for _, r := range rows {
			answered := cli.Styled{Text: fmt.Sprintf("%d of %d", r.Answered, r.Sent), Colour: cli.Green}
			if r.Answered < r.Sent {
				answered.Colour = cli.Red
			}
			if len(r.RTT) == 0 {
				t.Row(r.Name, answered, "", "", "")
				continue
			}
			sorted := slices.Sorted(slices.Values(r.RTT))
			t.Row(r.Name, answered, short(sorted[0]), short(sorted[len(sorted)/2]), short(sorted[len(sorted)-1]))
		}
	})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(rows, func(p *pinged) bool { return p.Answered < p.Sent }) {
		return cli.Exit(1)
	}
	return nil
}
