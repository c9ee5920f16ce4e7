// Package leaders has the subcommand that shows leaders and hands leaderships over.
package leaders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/consent"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	"github.com/aegisrpc/aegis/internal/near"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// Command returns the subcommand leaders.
func Command(app *cli.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "leaders [SERVICE]",
		Short: "Show who leads which group and who stands by, and hand a leadership over",
		Long: "Lists the groups of single active services with their leaders: the instance, its term, since when\n" +
			"it leads, and which instances stand by, that is, would lead if the leader let go now.",
		Example: "  aegis leaders\n  aegis leaders order.v1.OrderService\n  aegis leaders handover order.v1.OrderService --to orders-2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				return show(ctx, app, aegisadmin.New(conn), args)
			})
		},
	}
	c.AddCommand(handOver(app))
	return c
}

// leadership is a group as JSON shows it.
type leadership struct {
	Service    string      `json:"service"`
	Group      string      `json:"group"`
	Instance   string      `json:"instance,omitempty"`
	Term       uint64      `json:"term,omitempty"`
	Since      *time.Time  `json:"since,omitempty"`
	Lease      string      `json:"lease"`
	ActWindow  string      `json:"act_window"`
	Answers    bool        `json:"answers"`
	Candidates []candidate `json:"candidates"`
}

type candidate struct {
	Instance string `json:"instance"`
	Process  string `json:"process"`
	Leads    bool   `json:"leads,omitempty"`
	Stands   bool   `json:"stands,omitempty"`
}

func leadershipOf(l *aegisadmin.Leadership) leadership {
	row := leadership{
		Service: l.Service, Group: l.Group, Instance: l.Instance, Term: l.Term, Lease: l.Lease.String(), ActWindow: l.ActWindow.String(),
		Answers: l.Answers, Candidates: []candidate{},
	}
	if l.Term != 0 {
		row.Since = &l.Since
	}
	for _, c := range l.Candidates {
		row.Candidates = append(row.Candidates, candidate(c))
	}
	return row
}

func show(ctx context.Context, app *cli.App, admin *aegisadmin.Admin, args []string) error {
	service := aegis.AllServices
	if len(args) > 0 {
		service = args[0]
	}
	found, err := admin.Leaders(ctx, service)
	if err != nil {
		return err
	}
	rows := make([]leadership, 0, len(found))
	for i := range found {
		rows = append(rows, leadershipOf(&found[i]))
	}
	if len(rows) == 0 {
		if err := unknown(ctx, admin, args); err != nil {
			return err
		}
		if !app.JSON() {
			app.Notef("No single active service has had a leader here.")
			return nil
		}
	}
	return app.Print(rows, func(t *cli.Table) {
		t.Header("SERVICE", "GROUP", "LEADER", "TERM", "SINCE", "STAND BY", "REMARKS")
		for i := range rows {
			r := &rows[i]
			since, term := "", ""
			if r.Since != nil {
				since, term = cli.Age(*r.Since), strconv.FormatUint(r.Term, 10)
			}
			t.Row(r.Service, r.Group, r.Instance, term, since, strings.Join(r.standing(), ", "), r.remarks())
		}
	})
}

// unknown returns the error for a service that never had a leader, with the name that was
// probably meant.
func unknown(ctx context.Context, admin *aegisadmin.Admin, args []string) error {
	if len(args) == 0 {
		return nil
	}
	all, err := admin.Leaders(ctx, aegis.AllServices)
	if err != nil {
		return err
	}
	var names []string
	for _, l := range all {
		if !slices.Contains(names, l.Service) {
			names = append(names, l.Service)
		}
	}
	if near := near.Name(args[0], names); near != "" {
		return fmt.Errorf("%s has never had a leader here; did you mean %s?", args[0], near)
	}
	return fmt.Errorf("%s has never had a leader here; `aegis leaders` lists the services that have", args[0])
}

func (l *leadership) standing() []string {
	var names []string
	for _, c := range l.Candidates {
		if c.Stands {
			names = append(names, c.Instance)
		}
	}
	return names
}

// remarks says what a person has to know of the group.
func (l *leadership) remarks() cli.Styled {
	switch {
	case l.Term == 0 && len(l.Candidates) == 0:
		return cli.Styled{Text: "no instance runs", Colour: cli.Yellow}
	case l.Term == 0:
		return cli.Styled{Text: "nobody leads", Colour: cli.Red}
	case !l.Answers:
		return cli.Styled{Text: "the leader does not answer", Colour: cli.Red}
	case len(l.standing()) == 0:
		return cli.Styled{Text: "nobody stands by", Colour: cli.Yellow}
	default:
		return cli.Styled{}
	}
}

// handOver returns the subcommand that hands a leadership over.
func handOver(app *cli.App) *cobra.Command {
	var to string
	var force bool
	var wait time.Duration
	var agree consent.Flags
	c := &cobra.Command{
		Use:   "handover SERVICE[/GROUP]",
		Short: "Have the leader of a group let another instance lead",
		Long: "Asks the leader to let another instance lead. The leader begins nothing more, finishes what runs\n" +
			"within the grace period of its server, and lets go; another instance leads some milliseconds\n" +
			"later, and calls that come meanwhile wait for it. The leader then stands back for a lease. Without\n" +
			"GROUP it is the group default. If nobody else stands by, the leader refuses, unless --force is\n" +
			"given: then nobody leads until it leads again itself, a lease later.",
		Example: "  aegis leaders handover order.v1.OrderService\n  aegis leaders handover order.v1.OrderService/eu --to orders-2 --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := methods.Parse(args[0])
			if err != nil {
				return err
			}
			if t.Name == "" {
				t.Name = "default"
			}
			if wait <= 0 {
				return cli.Usagef("--wait %s: use more than 0", wait)
			}
			if err := agree.Check(app); err != nil {
				return err
			}
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				return move(ctx, app, aegisadmin.New(conn), t, aegisadmin.HandOver{To: to, Force: force}, &agree, wait)
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "the instance that shall lead (default: any that stands by)")
	c.Flags().BoolVar(&force, "force", false, "let go also if nobody else stands by (default false)")
	c.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait until another instance leads")
	agree.Define(c)
	return c
}

// handedOver is a leadership that was handed over as JSON shows it.
type handedOver struct {
	Service  string `json:"service"`
	Group    string `json:"group"`
	From     string `json:"from"`
	Term     uint64 `json:"term"`
	To       string `json:"to,omitempty"`
	NextTerm uint64 `json:"next_term,omitempty"`
	Millis   int64  `json:"millis"`
}

func move(ctx context.Context, app *cli.App, admin *aegisadmin.Admin, t methods.Target, h aegisadmin.HandOver, agree *consent.Flags, wait time.Duration) error {
	now, err := find(ctx, admin, t)
	if err != nil {
		return err
	}
	if err := possible(now, h); err != nil {
		return err
	}
	heir := h.To
	if heir == "" {
		heir = "any of " + strings.Join(now.standing(), ", ")
		if len(now.standing()) == 0 {
			heir = "nobody, as nobody stands by: nobody leads until it leads again itself, after " + now.Lease
		}
	}
	agreed, err := agree.Ask(ctx, app, fmt.Sprintf("Hand the leadership of %s, group %s, over from %s (term %d) to %s.",
		t.Service, t.Name, now.Instance, now.Term, heir))
	if !agreed || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	began := time.Now()
	waiting := app.Progress("waiting for " + now.Instance + " to finish what runs")
	defer waiting.Done()
	done, err := admin.HandOver(ctx, t.Service, t.Name, h)
	waiting.Done()
	if err != nil {
		return err
	}
	out := handedOver{t.Service, t.Name, done.From, done.Term, done.To, done.NextTerm, time.Since(began).Milliseconds()}
	if app.JSON() {
		return app.PrintJSON(out)
	}
	if done.To == "" {
		return app.Printf("%s leads %s, group %s, no more, and nobody else has begun to lead yet.\n", done.From, t.Service, t.Name)
	}
	return app.Printf("%s leads %s, group %s, in the term %d, after %s.\n", done.To, t.Service, t.Name, done.NextTerm, time.Since(began).Round(time.Millisecond))
}

// find returns the group.
func find(ctx context.Context, admin *aegisadmin.Admin, t methods.Target) (*leadership, error) {
	found, err := admin.Leaders(ctx, t.Service)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, unknown(ctx, admin, []string{t.Service})
	}
	var names []string
	for i := range found {
		if found[i].Group == t.Name {
			l := leadershipOf(&found[i])
			return &l, nil
		}
		names = append(names, found[i].Group)
	}
	if near.Name(t.Name, names) != "" {
		return nil, stored.UnknownName("group of "+t.Service, t.Name, names)
	}
	return nil, fmt.Errorf("%s has no group %s; it has %s: %s/%s", t.Service, t.Name, strings.Join(names, ", "), t.Service, names[0])
}

// possible returns why a leadership cannot be handed over, as far as that is known before
// the leader is asked.
func possible(now *leadership, h aegisadmin.HandOver) error {
	standing := now.standing()
	switch {
	case now.Term == 0:
		return errors.New("nobody leads " + now.Service + ", group " + now.Group)
	case h.To == now.Instance:
		return fmt.Errorf("%s leads already", h.To)
	case h.To != "" && !slices.Contains(standing, h.To):
		if near := near.Name(h.To, standing); near != "" {
			return fmt.Errorf("%s does not stand by; did you mean %s?", h.To, near)
		}
		if len(standing) == 0 {
			return fmt.Errorf("%s does not stand by, and neither does anybody else", h.To)
		}
		return fmt.Errorf("%s does not stand by; these do: %s", h.To, strings.Join(standing, ", "))
	case len(standing) == 0 && !h.Force:
		return fmt.Errorf("nobody stands by but %s, which leads: start another instance, or say --force", now.Instance)
	}
	return nil
}
