package instances

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// change is one line of watch as JSON.
type change struct {
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`
	Instance *Instance `json:"instance,omitempty"`
	Previous string    `json:"previous,omitempty"`
	Group    string    `json:"group,omitempty"`
	Term     uint64    `json:"term,omitempty"`
	Detail   string    `json:"detail,omitempty"`
}

// Watch returns the subcommand watch.
func Watch(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "watch [SERVICE]",
		Short: "Print what happens to instances and leaders, as it happens",
		Long: "Prints one line for each change of an instance: that it joined, changed its state or its health,\n" +
			"leads a group or no longer does, left, or was not heard any more. It begins with the instances\n" +
			"that there are, and ends with Ctrl-C. If NATS goes away, a line says so, another one when it is\n" +
			"back, and nothing that happened in between is missed. With --output json each line is a JSON\n" +
			"object.",
		Example: "  aegis watch\n  aegis watch order.v1.OrderService -o json | jq .kind",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			service := serviceOf(args)
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				return watch(ctx, app, conn, service)
			})
		},
	}
}

func watch(ctx context.Context, app *cli.App, conn *aegis.Conn, service string) error {
	ctx, cancel := context.WithCancel(ctx)
	changes := make(chan aegis.InstanceChange)
	failed := make(chan error, 1)
	go func() {
		defer close(changes)
		for c, err := range conn.WatchInstances(ctx, service) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case changes <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range changes { // until the watch has ended
		}
	}()
	link := conn.NATS().StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	for {
		var err error
		select {
		case c, ok := <-changes:
			if !ok {
				return watchError(ctx, failed)
			}
			err = printChange(app, changeOf(c))
		case status := <-link:
			err = printChange(app, linkChange(status, conn.NATS()))
		}
		if err != nil {
			return err
		}
	}
}

// watchError returns the error that has ended the watch, nil if its context has.
func watchError(ctx context.Context, failed <-chan error) error {
	select {
	case err := <-failed:
		if ctx.Err() == nil {
			return err
		}
	default:
	}
	return nil
}

func changeOf(c aegis.InstanceChange) change {
	i := instanceOf(c.Instance)
	out := change{Time: time.Now(), Kind: c.Kind.String(), Instance: &i}
	switch c.Kind {
	case aegis.InstanceStateChanged:
		out.Previous = c.Previous.String()
	case aegis.InstanceLeads, aegis.InstanceStoppedLeading:
		out.Group, out.Term = c.Term.Group, c.Term.Token
	default:
	}
	return out
}

func linkChange(status nats.Status, nc *nats.Conn) change {
	switch status {
	case nats.CONNECTED:
		return change{Time: time.Now(), Kind: "connected", Detail: nc.ConnectedUrlRedacted()}
	case nats.CLOSED:
		return change{Time: time.Now(), Kind: "connection closed"}
	default:
		return change{Time: time.Now(), Kind: "connection lost", Detail: "the view is as old as this line until NATS is back"}
	}
}

func printChange(app *cli.App, c change) error {
	if app.JSON() {
		return app.PrintLine(c)
	}
	var text strings.Builder
	text.WriteString(app.Style.Paint(cli.Dim, c.Time.Format("15:04:05.000")) + "  " + app.Style.Paint(c.colour(), fmt.Sprintf("%-17s", c.Kind)))
	if c.Instance != nil {
		fmt.Fprintf(&text, "  %s  %s", cli.Clean(c.Instance.Service), app.Style.Paint(cli.Bold, cli.Clean(c.Instance.Instance)))
	}
	for _, note := range c.notes() {
		text.WriteString("  " + cli.Clean(note))
	}
	return app.Printf("%s\n", app.Fit(strings.TrimRight(text.String(), " ")))
}

// notes returns what there is to say about a change besides its kind and instance.
func (c *change) notes() []string {
	switch {
	case c.Detail != "":
		return []string{c.Detail}
	case c.Group != "":
		return []string{fmt.Sprintf("group %s, term %d", c.Group, c.Term)}
	case c.Previous != "":
		return []string{c.Previous + " -> " + c.Instance.State}
	case c.Instance != nil:
		notes := append([]string{c.Instance.State}, c.Instance.marks()...)
		if c.Instance.Version != "" {
			notes = append(notes, "version "+c.Instance.Version)
		}
		if c.Kind == aegis.InstanceJoined.String() {
			notes = append(notes, c.Instance.words()...)
		}
		return notes
	default:
		return nil
	}
}

func (c *change) colour() cli.Colour {
	switch c.Kind {
	case aegis.InstanceJoined.String(), aegis.InstanceLeads.String(), "connected":
		return cli.Green
	case aegis.InstanceExpired.String(), "connection lost", "connection closed":
		return cli.Red
	default:
		return cli.Yellow
	}
}
