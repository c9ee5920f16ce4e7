package call

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// options are the flags of call.
type options struct {
	metadata methods.Metadata
	route    methods.Route
	include  bool
	trace    bool
	wait     bool
	attempts int
	replies  int
	silence  time.Duration

	// bounded is set if --timeout was given, which bounds the whole call then.
	bounded bool
}

func (o *options) define(c *cobra.Command) {
	f := c.Flags()
	o.metadata.Define(f, "the request")
	o.route.Define(f)
	f.BoolVarP(&o.include, "include", "i", false, "print the metadata of the response on standard error (default: not)")
	f.BoolVar(&o.trace, "trace", false, "print the path of the request through NATS, with its times (NATS 2.11 or newer); unary calls only")
	f.BoolVar(&o.wait, "wait-for-ready", false, "wait for an instance until the deadline if none runs (default: fail at once)")
	f.IntVar(&o.attempts, "max-attempts", 0, "how often the call is tried at most (default: as the proto says)")
	f.IntVar(&o.replies, "until-replies", 0, "end a broadcast when so many instances have answered (default: all)")
	f.DurationVar(&o.silence, "until-silence", 0, "end a broadcast when no reply has come for so long (default: never)")
}

// callOptions returns the options of the call.
func (o *options) callOptions() ([]aegis.CallOption, error) {
	opts, err := o.route.Options()
	if err != nil {
		return nil, err
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
