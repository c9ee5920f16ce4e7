package methods

import (
	"github.com/spf13/pflag"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Route is the flags that say which instance is called.
type Route struct{ instance, strategy, key string }

// strategies are the values of --strategy.
var strategies = map[string]func() aegis.CallOption{
	"queue-group":  aegis.QueueGroup,
	"round-robin":  aegis.RoundRobin,
	"random":       aegis.Random,
	"least-loaded": aegis.LeastLoaded,
}

const strategyNames = "queue-group, round-robin, random or least-loaded"

// Define adds the flags to a command.
func (r *Route) Define(f *pflag.FlagSet) {
	f.StringVar(&r.instance, "instance", "", "call this instance and no other (default: any)")
	f.StringVar(&r.strategy, "strategy", "", "how the instance is selected: "+strategyNames+" (default: as the proto says)")
	f.StringVar(&r.key, "key", "", "call the instance that gets the calls with this sticky key (default: as the proto says)")
}

// Leader tells whether calls that go to a leader may have this route: such calls can name
// an instance, and are not spread over several.
func (r *Route) Leader() bool { return r.strategy == "" && r.key == "" }

// Options returns the option of the call that the flags make, none if there is no flag.
func (r *Route) Options() ([]aegis.CallOption, error) {
	var opts []aegis.CallOption
	if r.strategy != "" {
		strategy, known := strategies[r.strategy]
		if !known {
			return nil, cli.Usagef("--strategy %s: use %s", r.strategy, strategyNames)
		}
		opts = append(opts, strategy())
	}
	if r.instance != "" {
		opts = append(opts, aegis.ToInstance(r.instance))
	}
	if r.key != "" {
		opts = append(opts, aegis.StickyKey(r.key))
	}
	if len(opts) > 1 {
		return nil, cli.Usagef("--strategy, --instance and --key each say which instance is called: give one of them")
	}
	return opts, nil
}
