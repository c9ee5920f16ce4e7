package methods

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// Route is the flags that say which instance is called.
type Route struct {
	instance, strategy, key string
	where                   []string
}

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
	f.StringArrayVar(&r.where, "where", nil,
		"call an instance that has this label, `KEY=VALUE`, a reserved one too; given several times, one that has all of them (default: any)")
	f.StringVar(&r.strategy, "strategy", "", "how the instance is selected: "+strategyNames+" (default: as the proto says)")
	f.StringVar(&r.key, "key", "", "call the instance that gets the calls with this sticky key (default: as the proto says)")
}

// Check returns an error if flags of the route have no effect on a method of this pattern.
func (r *Route) Check(method string, pattern spec.Pattern) error {
	spreads := r.strategy != "" || r.key != "" || len(r.where) > 0
	switch {
	case pattern == spec.LoadBalanced, r.instance == "" && !spreads:
		return nil
	case pattern != spec.SingleActive:
		return cli.Usagef("--instance, --where, --strategy and --key: %s is %s, and no instance is selected for it; leave them out",
			method, article(pattern))
	case spreads:
		return cli.Usagef("--where, --strategy and --key: %s is single active, its calls go to the leader; leave them out", method)
	}
	return nil
}

func article(p spec.Pattern) string {
	if p == spec.Event {
		return "an event"
	}
	return "a " + p.String()
}

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
	if len(r.where) > 0 {
		labelled, err := r.labelled()
		if err != nil {
			return nil, err
		}
		opts = append(opts, aegis.SelectBy(labelled))
	}
	if len(opts) > 1 {
		return nil, cli.Usagef("--instance, --where, --strategy and --key each say which instance is called: give one of them")
	}
	return opts, nil
}

// chooses reports whether an instance is the one of --instance, or has all labels of --where.
func (r *Route) chooses(i *aegis.Instance) bool {
	if r.instance != "" {
		return i.Name == r.instance
	}
	for _, text := range r.where {
		key, want, _ := strings.Cut(text, "=")
		if value, has := i.Labels[key]; !has || value != want {
			return false
		}
	}
	return true
}

// labelled returns the strategy for the instances that have all labels of --where.
func (r *Route) labelled() (selection.Strategy, error) {
	var strategy selection.Strategy
	for _, text := range r.where {
		key, value, found := strings.Cut(text, "=")
		if !found || key == "" {
			return nil, cli.Usagef("--where %s: use KEY=VALUE", text)
		}
		strategy = selection.Where(key, value, strategy)
	}
	return strategy, nil
}
