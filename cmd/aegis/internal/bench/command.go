// Package bench has the subcommand bench, which puts a method under load and reports its
// rate, errors and latencies.
//
//	load/    the engine: shapes of load, open and closed loops, recorders
//	report/  the report: JSON, histogram, time line, comparison
package bench

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/report"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const long = `Calls a method again and again, and reports rate, errors, latencies, a histogram and a time line.
The method is found by reflection; it can be unary, single active, a stream of responses, a
broadcast, an event (which is published) or a command (which is sent). Commands and durable events
are really stored, and their handlers really run.

Without --rate the loop is closed: --callers call one after the other, as fast as answers come. A
closed loop calls less while the service stalls, so its percentiles show too little of a stall;
--expected-interval corrects that. With --rate the loop is open: calls start at their time whether or
not earlier ones were answered, and latencies count from that time.

The shapes of an open loop:
  constant  --rate all the time
  ramp      from --rate to --peak within --period (default: the duration)
  spike     --rate, but --peak for --period in the middle (default: a tenth of the duration)
  wave      between --rate and --peak, a wave in each --period (default: a quarter of the duration)
  burst     all calls of a --period (default 1s) at once
  stress    from --rate upwards, a --period (default 2s) at each, until --max-p99 (default 100ms) or
            --max-errors (default 1%) is exceeded; reports the highest rate that held

The request is JSON. In it {{.N}} is the number of the call, {{.Worker}} that of the caller and {{.UUID}}
a random UUID; without any of them the request is marshalled once, which is cheaper.`

const examples = `  aegis bench echo.v1.EchoService/Echo '{"text": "hello"}'
  aegis bench echo.v1.EchoService/Echo --rate 2000 --duration 30s --save before.json
  aegis bench echo.v1.EchoService/Echo --rate 2000 --duration 30s --compare before.json
  aegis bench echo.v1.EchoService/Echo --rate 500 --shape stress --max-p99 20ms
  aegis bench order.v1.OrderService/PlaceOrder --data '{"id": "{{.UUID}}"}' --requests 1000
  aegis bench echo.v1.EchoService/Echo --rate 1000 --max-p99 20ms --max-errors 0.1%   # exit code 1 if not held`

// flags are what the user asks for.
type flags struct {
	load     loadFlags
	data     string
	metadata methods.Metadata
	route    methods.Route
	await    bool
	limits   limitFlags
	save     string
	compare  string
	timeout  time.Duration // of a call; 0: the method's own
}

// Command returns the subcommand bench.
func Command(app *cli.App) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:     "bench SERVICE/METHOD [JSON]",
		Short:   "Put a method under load: rate, errors, latencies",
		Long:    long,
		Example: examples,
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("timeout") {
				f.timeout = app.Timeout
			}
			return run(c.Context(), app, &f, args, c.Flags().Changed)
		},
	}
	s := c.Flags()
	f.load.define(c)
	s.StringVar(&f.data, "data", "", "the request: JSON, @FILE, or - for the standard input (default: the empty message)")
	f.metadata.Define(s, "each call")
	f.route.Define(s)
	s.BoolVar(&f.await, "await", false, "a command has ended with its result (default: when it is stored)")
	f.limits.define(c)
	s.StringVar(&f.save, "save", "", "file that the report is written to, as JSON (default: none)")
	s.StringVar(&f.compare, "compare", "", "report of an earlier run, from --save, to compare with (default: none)")
	return c
}

// run makes the load and reports it. An error of it is one of the load's preparation, or
// says that a limit was not kept.
func run(ctx context.Context, app *cli.App, f *flags, args []string, given func(string) bool) error {
	order, err := f.load.order(&f.limits, given)
	if err != nil {
		return err
	}
	var earlier *report.Report
	if f.compare != "" {
		if earlier, err = report.Read(f.compare); err != nil {
			return err
		}
	}
	if f.data != "" && len(args) > 1 {
		return cli.Usagef("the request is given twice: as an argument, and with --data; leave one out")
	}
	arg := f.data
	if len(args) > 1 {
		arg = args[1]
	}
	text, err := methods.Text(app, arg)
	if err != nil {
		return err
	}
	return app.WithConn(ctx, func(ctx context.Context, conn *aegis.Conn) error {
		b, err := f.prepare(ctx, app, conn, order, args[0], text)
		if err != nil {
			return err
		}
		r, err := b.run(ctx)
		if err != nil {
			return err
		}
		if earlier != nil {
			r.Comparison = report.Compare(earlier, r, f.compare)
		}
		if f.save != "" {
			if err := r.Save(f.save); err != nil {
				return err
			}
		}
		if err := show(app, r); err != nil {
			return err
		}
		switch {
		case r.Held():
			return nil
		case r.Stress != nil && r.Stress.HeldRate == 0:
			return errors.New("no rate held; begin with a lower --rate")
		default:
			return errors.New("a limit was not kept")
		}
	})
}
