package commands

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// filterFlags pick commands.
type filterFlags struct {
	states   []string
	priority string
	older    time.Duration
}

func (f *filterFlags) define(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.states, "state", nil, "only commands in these states: scheduled, waiting, running, retrying (default: all)")
	c.Flags().StringVar(&f.priority, "priority", "", "only commands of this priority: high, normal or low (default: all)")
	c.Flags().DurationVar(&f.older, "older", 0, "only commands that were stored at least so long ago, such as 10m (default 0: all)")
}

// filter returns the filter for the commands of a service or a method.
func (f *filterFlags) filter(t methods.Target) (aegisadmin.CommandFilter, error) {
	filter := aegisadmin.CommandFilter{Method: t.Name, Priority: f.priority, Older: f.older}
	for _, s := range f.states {
		switch state := aegisadmin.CommandState(strings.ToUpper(s)); state {
		case aegisadmin.Scheduled, aegisadmin.Waiting, aegisadmin.Running, aegisadmin.Retrying:
			filter.States = append(filter.States, state)
		default:
			return filter, cli.Usagef("--state %s: use scheduled, waiting, running or retrying", s)
		}
	}
	if f.priority != "" && f.priority != "high" && f.priority != "normal" && f.priority != "low" {
		return filter, cli.Usagef("--priority %s: use high, normal or low", f.priority)
	}
	if f.older < 0 {
		return filter, cli.Usagef("--older %s: use 0 or more", f.older)
	}
	return filter, nil
}
