package deadletters

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// change is a subcommand that does the same to one dead letter or to many.
type change struct {
	stored.Change

	one    func(*aegis.Conn, context.Context, *aegis.DeadLetter) error
	many   manyFunc
	filter filterFlags
}

// manyFunc changes all dead letters of a service that a filter picks.
type manyFunc func(*aegisadmin.Admin, context.Context, string, aegisadmin.LetterFilter, func(aegisadmin.Treated)) (aegisadmin.Treated, error)

func newChange(app *cli.App, verb, done string, one func(*aegis.Conn, context.Context, *aegis.DeadLetter) error, many manyFunc) *change {
	return &change{
		Change: stored.Change{App: app, Noun: "dead letter", Verb: verb, Done: done, ID: "SEQUENCE", Filters: []string{"reason", "subscriber"}},
		one:    one, many: many,
	}
}

// putBack is done to letters that are retried.
const putBack = "put back"

// retry returns the subcommand that puts dead letters back.
func retry(app *cli.App) *cobra.Command {
	return newChange(app, "Put back", putBack, (*aegis.Conn).PutBack, (*aegisadmin.Admin).PutBack).command(&cobra.Command{
		Use:   "retry SERVICE[/METHOD] [SEQUENCE...]",
		Short: "Put dead letters back, to be worked again with all attempts to come",
		Long: "Puts dead letters back where they were published: an event goes to the subscriber that gave it up\n" +
			"and to no other, a command loses the result that it has failed. Without SEQUENCE it counts the\n" +
			"letters that the flags pick, or all with --all, and asks before it puts them back; letters that come\n" +
			"meanwhile are left alone. A letter is never put back twice, so the command can be run again.",
		Example: "  aegis deadletters retry order.v1.OrderService 17 18\n" +
			"  aegis deadletters retry order.v1.OrderService/ReconcileBook --reason 'UNAVAILABLE: no limits' --dry-run\n" +
			"  aegis deadletters retry order.v1.OrderService --all --yes",
	})
}

// remove returns the subcommand that deletes dead letters.
func remove(app *cli.App) *cobra.Command {
	return newChange(app, "Delete", "deleted", (*aegis.Conn).DiscardDeadLetter, (*aegisadmin.Admin).Discard).command(&cobra.Command{
		Use:   "delete SERVICE[/METHOD] [SEQUENCE...]",
		Short: "Delete dead letters",
		Long: "Deletes dead letters, whose messages are lost then. Without SEQUENCE it counts the letters that the\n" +
			"flags pick, or all with --all, and asks before it deletes them; letters that come meanwhile are left\n" +
			"alone.",
		Example: "  aegis deadletters delete order.v1.OrderService 17\n" +
			"  aegis deadletters delete order.v1.OrderService/OrderPlaced --subscriber g-risk-OrderPlaced --reason 'NOT_FOUND: order # is unknown'",
	})
}

func (c *change) command(cmd *cobra.Command) *cobra.Command {
	c.filter.define(cmd)
	c.Define(cmd)
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := methods.Parse(args[0])
		if err != nil {
			return err
		}
		sequences := make([]uint64, 0, len(args)-1)
		for _, arg := range args[1:] {
			n, err := sequenceOf(arg)
			if err != nil {
				return err
			}
			sequences = append(sequences, n)
		}
		if err := c.Check(cmd, len(sequences) > 0); err != nil {
			return err
		}
		return stored.WithAdmin(cmd.Context(), c.App, func(ctx context.Context, conn *aegis.Conn, admin *aegisadmin.Admin) error {
			if len(sequences) > 0 {
				return c.some(ctx, conn, t, sequences)
			}
			return c.group(ctx, admin, t)
		})
	}
	return cmd
}

// some changes letters by their sequences.
func (c *change) some(ctx context.Context, conn *aegis.Conn, t methods.Target, sequences []uint64) error {
	letters := make([]*aegis.DeadLetter, 0, len(sequences))
	for _, n := range sequences {
		d, err := conn.DeadLetter(ctx, t.Service, n)
		if err != nil {
			return err
		}
		if t.Name != "" && d.Method != t.Name {
			return fmt.Errorf("the dead letter %d of %s is one of %s, not of %s", n, t.Service, d.Method, t.Name)
		}
		letters = append(letters, d)
	}
	what := fmt.Sprintf("%s of %s.", c.Count(len(letters)), t)
	if len(letters) == 1 {
		what = fmt.Sprintf("the dead letter %d of %s/%s: %s.", letters[0].Sequence, t.Service, letters[0].Method, letters[0].Reason)
	}
	agreed, err := c.Ask(ctx, what)
	if !agreed || err != nil {
		return err
	}
	o := stored.Outcome{Service: t.Service, Method: t.Name}
	for _, d := range letters {
		err := c.one(conn, ctx, d)
		if err != nil && ctx.Err() != nil {
			return c.Broken(o.Done, len(letters), err)
		}
		o.Add(stored.Left{Sequence: d.Sequence}, err)
	}
	return c.Report(&o)
}

// group changes all letters that the flags pick, counted first.
func (c *change) group(ctx context.Context, admin *aegisadmin.Admin, t methods.Target) error {
	f := c.filter.filter(t)
	reading := c.App.Progress("counting the dead letters of " + t.String())
	defer reading.Done()
	n, err := admin.CountDeadLetters(ctx, t.Service, f)
	if err != nil {
		return err
	}
	reading.Done()
	o := stored.Outcome{Service: t.Service, Method: t.Name}
	if n.Count == 0 {
		if err := none(ctx, c.App, admin, t); err != nil || !c.App.JSON() {
			return err
		}
		return c.Report(&o)
	}
	what := fmt.Sprintf("%s of %s, the oldest of which is %s old.", c.Count(n.Count), t, cli.Age(n.Oldest))
	if n.Omitted > 0 && c.Done == putBack {
		what += fmt.Sprintf(" %d of them have no data, and stay.", n.Omitted)
	}
	agreed, err := c.Ask(ctx, what)
	if !agreed || err != nil {
		return err
	}
	so, end := c.Working(n.Count)
	defer end()
	f.UpTo = n.UpTo
	treated, err := c.many(admin, ctx, t.Service, f, func(t aegisadmin.Treated) { so(t.Done) })
	end()
	if err != nil {
		return c.Broken(treated.Done, n.Count, err)
	}
	o.Done, o.Failed = treated.Done, treated.Failed
	for _, l := range treated.Left {
		o.Left = append(o.Left, stored.Left{Sequence: l.Sequence, Error: l.Err.Error()})
	}
	return c.Report(&o)
}
