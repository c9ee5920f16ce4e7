package call

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// options are the flags of call.
type options struct {
	headers  []string
	include  bool
	trace    bool
	instance string
	strategy string
	key      string
	wait     bool
	attempts int
	replies  int
	silence  time.Duration

	// bounded is set if --timeout was given, which bounds the whole call then.
	bounded bool
}

// strategies are the values of --strategy.
var strategies = map[string]func() aegis.CallOption{
	"queue-group":  aegis.QueueGroup,
	"round-robin":  aegis.RoundRobin,
	"random":       aegis.Random,
	"least-loaded": aegis.LeastLoaded,
}

func (o *options) define(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVarP(&o.headers, "header", "H", nil, "metadata of the request, as `'KEY: VALUE'`; may be given several times")
	f.BoolVarP(&o.include, "include", "i", false, "print the metadata of the response on standard error")
	f.BoolVar(&o.trace, "trace", false, "print the path of the request through NATS, with its times (NATS 2.11 or newer); unary calls only")
	f.StringVar(&o.instance, "instance", "", "call this instance and no other")
	f.StringVar(&o.strategy, "strategy", "", "how the instance is selected: queue-group, round-robin, random or least-loaded (default: as the proto says)")
	f.StringVar(&o.key, "key", "", "call the instance that gets the calls with this sticky key")
	f.BoolVar(&o.wait, "wait", false, "wait for an instance until the deadline if none runs")
	f.IntVar(&o.attempts, "max-attempts", 0, "how often the call is tried at most (default: as the proto says)")
	f.IntVar(&o.replies, "until-replies", 0, "end a broadcast when so many instances have answered (default: all)")
	f.DurationVar(&o.silence, "until-silence", 0, "end a broadcast when no reply has come for so long (default: never)")
}

// callOptions returns the options of the call.
func (o *options) callOptions() ([]aegis.CallOption, error) {
	var opts []aegis.CallOption
	if o.strategy != "" {
		strategy, known := strategies[o.strategy]
		if !known {
			return nil, cli.Usagef("--strategy %s: use queue-group, round-robin, random or least-loaded", o.strategy)
		}
		opts = append(opts, strategy())
	}
	if o.instance != "" {
		opts = append(opts, aegis.ToInstance(o.instance))
	}
	if o.key != "" {
		opts = append(opts, aegis.StickyKey(o.key))
	}
	if len(opts) > 1 {
		return nil, cli.Usagef("--strategy, --instance and --key each say which instance is called: give one of them")
	}
	if o.wait {
		opts = append(opts, aegis.WaitForReady())
	}
	if o.attempts != 0 {
		opts = append(opts, aegis.MaxAttempts(o.attempts))
	}
	if o.replies != 0 {
		opts = append(opts, aegis.UntilReplies(o.replies))
	}
	if o.silence != 0 {
		opts = append(opts, aegis.UntilSilence(o.silence))
	}
	return opts, nil
}
