package deadletters

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/consent"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/target"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// change is a subcommand that does the same to one dead letter or to many.
type change struct {
	app     *cli.App
	verb    string // at the beginning of a sentence, such as "Put back"
	done    string // such as "put back"
	one     func(*aegis.Conn, context.Context, *aegis.DeadLetter) error
	many    func(*aegisadmin.Admin, context.Context, string, aegisadmin.LetterFilter, func(aegisadmin.Treated)) (aegisadmin.Treated, error)
	filter  filterFlags
	all     bool
	consent consent.Flags
}

// retry returns the subcommand that puts dead letters back.
func retry(app *cli.App) *cobra.Command {
	c := &change{app: app, verb: "Put back", done: "put back", one: (*aegis.Conn).PutBack, many: (*aegisadmin.Admin).PutBack}
	return c.command(&cobra.Command{
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
	c := &change{app: app, verb: "Delete", done: "deleted", one: (*aegis.Conn).DiscardDeadLetter, many: (*aegisadmin.Admin).Discard}
	return c.command(&cobra.Command{
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
	cmd.Flags().BoolVar(&c.all, "all", false, "all letters of the service or the method (default false)")
	c.consent.Define(cmd)
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := target.Parse(args[0])
		if err != nil {
			return err
		}
		picked := c.filter.reason != "" || c.filter.consumer != ""
		sequences := make([]uint64, 0, len(args)-1)
		for _, arg := range args[1:] {
			n, err := sequenceOf(arg)
			if err != nil {
				return err
			}
			sequences = append(sequences, n)
		}
		switch one := len(sequences) > 0; {
		case one && (picked || c.all):
			return cli.Usagef("a SEQUENCE names one letter: leave out --all, --reason and --subscriber")
		case !one && !picked && !c.all:
			return cli.Usagef("which letters? Name a SEQUENCE, or pick them with --reason or --subscriber, or say --all")
		}
		if err := c.consent.Check(c.app); err != nil {
			return err
		}
		return withAdmin(cmd.Context(), c.app, func(ctx context.Context, conn *aegis.Conn, admin *aegisadmin.Admin) error {
			if len(sequences) > 0 {
				return c.some(ctx, conn, t, sequences)
			}
			return c.group(ctx, admin, t)
		})
	}
	return cmd
}

// outcome is what was done, as JSON shows it.
type outcome struct {
	Service string    `json:"service"`
	Method  string    `json:"method,omitempty"`
	Done    int       `json:"done"`
	Failed  int       `json:"failed"`
	Left    []staying `json:"left,omitempty"`
}

// staying is a letter that stays.
type staying struct {
	Sequence uint64 `json:"sequence"`
	Error    string `json:"error"`
}

// some changes letters by their sequences.
func (c *change) some(ctx context.Context, conn *aegis.Conn, t target.Target, sequences []uint64) error {
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
	what := fmt.Sprintf("%s %s of %s.", c.verb, target.Count(len(letters), "dead letter"), t)
	if len(letters) == 1 {
		what = fmt.Sprintf("%s the dead letter %d of %s.%s: %s.", c.verb, letters[0].Sequence, t.Service, letters[0].Method, letters[0].Reason)
	}
	agreed, err := c.consent.Ask(ctx, c.app, what)
	if !agreed || err != nil {
		return err
	}
	o := outcome{Service: t.Service, Method: t.Name}
	for _, d := range letters {
		switch err := c.one(conn, ctx, d); {
		case err == nil:
			o.Done++
		case ctx.Err() != nil:
			return err
		default:
			o.Failed++
			o.Left = append(o.Left, staying{d.Sequence, err.Error()})
		}
	}
	return c.report(o)
}

// group changes all letters that the flags pick, counted first.
func (c *change) group(ctx context.Context, admin *aegisadmin.Admin, t target.Target) error {
	f := c.filter.filter(t)
	reading := c.app.Progress("counting the dead letters of " + t.String())
	defer reading.Done()
	n, err := admin.CountDeadLetters(ctx, t.Service, f)
	if err != nil {
		return err
	}
	reading.Done()
	o := outcome{Service: t.Service, Method: t.Name}
	if n.Count == 0 {
		if err := none(ctx, c.app, admin, t); err != nil || !c.app.JSON() {
			return err
		}
		return c.report(o)
	}
	what := fmt.Sprintf("%s %s of %s, the oldest of which is %s old.", c.verb, target.Count(n.Count, "dead letter"), t, target.Age(n.Oldest))
	if n.Omitted > 0 && c.done == "put back" {
		what += fmt.Sprintf(" %d of them have no data, and stay.", n.Omitted)
	}
	agreed, err := c.consent.Ask(ctx, c.app, what)
	if !agreed || err != nil {
		return err
	}
	working := c.app.Progress(fmt.Sprintf("0 of %d %s", n.Count, c.done))
	defer working.Done()
	f.UpTo = n.UpTo
	treated, err := c.many(admin, ctx, t.Service, f, func(so aegisadmin.Treated) {
		working.Sayf("%d of %d %s", so.Done, n.Count, c.done)
	})
	working.Done()
	if err != nil {
		return fmt.Errorf("%d of %d %s, then: %w", treated.Done, n.Count, c.done, err)
	}
	o.Done, o.Failed = treated.Done, treated.Failed
	for _, l := range treated.Left {
		o.Left = append(o.Left, staying{l.Sequence, l.Err.Error()})
	}
	return c.report(o)
}

// report says what was done; letters that stay are an error.
func (c *change) report(o outcome) error {
	if c.app.JSON() {
		if err := c.app.PrintJSON(o); err != nil {
			return err
		}
	} else if err := c.app.Printf("%s %s.\n", target.Count(o.Done, "dead letter"), c.done); err != nil {
		return err
	}
	if o.Failed == 0 {
		return nil
	}
	for _, l := range o.Left {
		c.app.Notef("%s", cli.Clean(fmt.Sprintf("%d: %s", l.Sequence, l.Error)))
	}
	return errors.New(target.Count(o.Failed, "dead letter") + " not " + c.done)
}
