// Package pausing has the subcommands that pause and resume the work of a method.
package pausing

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/consent"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// Kind is the kind of work.
type Kind int

// The kinds.
const (
	Commands Kind = iota // the commands of a method
	Events               // the durable events of a method for a group or an instance
)

// parent returns the subcommand that has the subcommands.
func (k Kind) parent() string { return [...]string{"commands", "streams"}[k] }

func (k Kind) example(verb, more string) string {
	return [...]string{
		"  aegis commands " + verb + " order.v1.OrderService/ReconcileBook" + more,
		"  aegis streams " + verb + " order.v1.OrderService/OrderPlaced --group risk" + more,
	}[k]
}

// choice is which work is meant.
type choice struct {
	kind            Kind
	group, instance string
	consent         consent.Flags
}

func (o *choice) define(c *cobra.Command) {
	if o.kind == Events {
		c.Flags().StringVar(&o.group, "group", "", "the group whose events are meant (default: the only group or instance there is)")
		c.Flags().StringVar(&o.instance, "instance", "", "the instance whose events are meant, where each instance gets all of them (default: none)")
		c.MarkFlagsMutuallyExclusive("group", "instance")
	}
	o.consent.Define(c)
}

// Pause returns the subcommand pause.
func Pause(app *cli.App, kind Kind) *cobra.Command {
	o := &choice{kind: kind}
	var span time.Duration
	var until string
	c := &cobra.Command{
		Use:   "pause SERVICE/METHOD",
		Short: "Pause the work of a method for a time",
		Long: "Has NATS deliver nothing more of the work of a method until a time. What is delivered already is\n" +
			"finished, new work is stored and waits. The work goes on by itself when the time has come, and\n" +
			"stays paused until then whatever starts, stops or is deployed. It needs nats-server 2.11 or later.",
		Example: kind.example("pause", " --for 1h") + "\n" + kind.example("pause", " --until 2026-12-24T18:00:00Z --yes"),
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := methods.ParseMethod(args[0])
			if err != nil {
				return err
			}
			end, err := deadline(span, until)
			if err != nil {
				return err
			}
			return o.change(c.Context(), app, t, end)
		},
	}
	c.Flags().DurationVar(&span, "for", 0, "how long, such as 30m; --for or --until is needed")
	c.Flags().StringVar(&until, "until", "", "until when, as RFC 3339: 2026-12-24T18:00:00Z (default: as --for says)")
	c.MarkFlagsMutuallyExclusive("for", "until")
	o.define(c)
	return c
}

// deadline returns when a pause ends.
func deadline(span time.Duration, until string) (time.Time, error) {
	switch {
	case until != "":
		end, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return end, cli.Usagef("--until %s: write it as in 2026-12-24T18:00:00Z", until)
		}
		if !end.After(time.Now()) {
			return end, cli.Usagef("--until %s: that is past", until)
		}
		return end, nil
	case span <= 0:
		return time.Time{}, cli.Usagef("how long? Say --for 30m, or --until 2026-12-24T18:00:00Z")
	default:
		return time.Now().Add(span), nil
	}
}

// Resume returns the subcommand resume.
func Resume(app *cli.App, kind Kind) *cobra.Command {
	o := &choice{kind: kind}
	c := &cobra.Command{
		Use:     "resume SERVICE/METHOD",
		Short:   "End the pause of the work of a method",
		Long:    "Has the paused work of a method go on at once.",
		Example: kind.example("resume", ""),
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := methods.ParseMethod(args[0])
			if err != nil {
				return err
			}
			return o.change(c.Context(), app, t, time.Time{})
		},
	}
	o.define(c)
	return c
}

// outcome is what was done, as JSON shows it.
type outcome struct {
	Service     string     `json:"service"`
	Method      string     `json:"method"`
	Group       string     `json:"group,omitempty"`
	Instance    string     `json:"instance,omitempty"`
	Consumers   []string   `json:"consumers"`
	PausedUntil *time.Time `json:"paused_until,omitempty"`
}

// change pauses work until a time, or resumes it if there is none.
func (o *choice) change(ctx context.Context, app *cli.App, t methods.Target, until time.Time) error {
	if err := o.consent.Check(app); err != nil {
		return err
	}
	return app.WithConn(ctx, func(ctx context.Context, conn *aegis.Conn) error {
		admin := aegisadmin.New(conn)
		w, err := o.find(ctx, admin, t)
		if err != nil {
			return err
		}
		if until.IsZero() && w.PausedUntil.IsZero() {
			app.Notef("The work of %s is not paused. Nothing was changed.", t)
			return o.print(app, w, until)
		}
		agreed, err := o.consent.Ask(ctx, app, sentence(w, t, until))
		if !agreed || err != nil {
			return err
		}
		if until.IsZero() {
			err = admin.Resume(ctx, *w)
		} else {
			err = admin.Pause(ctx, *w, until)
		}
		if err != nil {
			return err
		}
		return o.print(app, w, until)
	})
}

// sentence says what is about to happen.
func sentence(w *aegisadmin.Work, t methods.Target, until time.Time) string {
	pending, underWay := w.Pending()
	what := "the commands of " + t.String()
	switch {
	case w.Group != "":
		what = fmt.Sprintf("the events of %s for the group %s", t, w.Group)
	case w.Instance != "":
		what = fmt.Sprintf("the events of %s for the instance %s", t, w.Instance)
	}
	if until.IsZero() {
		return fmt.Sprintf("Resume %s: %d wait.", what, pending)
	}
	return fmt.Sprintf("Pause %s until %s: %d wait, and %d that are under way are finished, but not tried again meanwhile.",
		what, cli.Clock(until), pending, underWay)
}

// find finds the work.
func (o *choice) find(ctx context.Context, admin *aegisadmin.Admin, t methods.Target) (*aegisadmin.Work, error) {
	works, err := admin.Work(ctx, t.Service)
	if err != nil {
		return nil, err
	}
	var found []*aegisadmin.Work
	var methods, others []string
	for i := range works {
		w := &works[i]
		if w.Commands() != (o.kind == Commands) {
			continue
		}
		switch {
		case w.Method != t.Name:
			methods = append(methods, w.Method)
		case o.group != "" && w.Group != o.group, o.instance != "" && w.Instance != o.instance:
			others = append(others, w.Group+w.Instance)
		default:
			found = append(found, w)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, cli.Usagef("several get the events of %s; say which with --group or --instance: %s", t, names(found))
	case len(others) > 0:
		return nil, stored.UnknownName("group or instance of "+t.String(), o.group+o.instance, others)
	}
	if err := stored.Unknown(ctx, admin, t.Service, "work"); err != nil {
		return nil, err
	}
	return nil, stored.UnknownName(
		[...]string{"method with commands of which a worker has been there", "method with durable events to which somebody has subscribed"}[o.kind],
		t.Name, methods)
}

func names(works []*aegisadmin.Work) string {
	flags := make([]string, 0, len(works))
	for _, w := range works {
		if w.Group != "" {
			flags = append(flags, "--group "+w.Group)
		} else {
			flags = append(flags, "--instance "+w.Instance)
		}
	}
	return strings.Join(flags, ", ")
}

func (o *choice) print(app *cli.App, w *aegisadmin.Work, until time.Time) error {
	out := outcome{Service: w.Service, Method: w.Method, Group: w.Group, Instance: w.Instance, Consumers: []string{}}
	for _, c := range w.Consumers {
		out.Consumers = append(out.Consumers, c.Name)
	}
	if !until.IsZero() {
		out.PausedUntil = &until
	}
	if app.JSON() {
		return app.PrintJSON(out)
	}
	if until.IsZero() {
		return app.Printf("The work of %s/%s goes on.\n", w.Service, w.Method)
	}
	return app.Printf("The work of %s/%s is paused until %s. `aegis %s resume` ends that before.\n",
		w.Service, w.Method, cli.Clock(until), o.kind.parent())
}
