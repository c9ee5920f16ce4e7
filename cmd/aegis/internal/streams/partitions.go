package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/consent"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// partitions returns the subcommand that shows and changes the number of partitions of an event.
func partitions(app *cli.App) *cobra.Command {
	var agree consent.Flags
	c := &cobra.Command{
		Use:   "partitions SERVICE/EVENT [NUMBER]",
		Short: "Show or change the number of partitions of an event with a key",
		Long: "Without NUMBER it shows all numbers of partitions that the event has had, the one in force last.\n" +
			"With NUMBER, 1 to 1024, it changes the number: publishers go on with the new partitions at once,\n" +
			"and each group begins them when it has handled all that is stored in the old ones, so that the\n" +
			"order of each key holds. Nothing is deleted. All programs that publish or handle the event must\n" +
			"have a release of Aegis that can follow. It needs nats-server 2.10 or later.",
		Example: "  aegis streams partitions order.v1.OrderService/OrderPlaced\n" +
			"  aegis streams partitions order.v1.OrderService/OrderPlaced 32 --yes",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := methods.ParseMethod(args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
					numbers, err := numbersOf(ctx, aegisadmin.New(conn), t)
					if err != nil {
						return err
					}
					return printNumbers(app, t, numbers)
				})
			}
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return cli.Usagef("%q is no number of partitions", args[1])
			}
			return change(c.Context(), app, &agree, t, n)
		},
	}
	agree.Define(c)
	return c
}

// numbersOf returns the numbers of partitions that an event has had.
func numbersOf(ctx context.Context, admin *aegisadmin.Admin, t methods.Target) ([]int, error) {
	all, err := admin.Partitions(ctx, t.Service)
	if aegis.CodeOf(err) == aegis.CodeNotFound {
		err = errors.Join(stored.Unknown(ctx, admin, t.Service, "events"), err)
	}
	if err != nil {
		return nil, err
	}
	if numbers := all[t.Name]; len(numbers) > 0 {
		return numbers, nil
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return nil, stored.UnknownName("event with a key", t.Name, names)
}

func change(ctx context.Context, app *cli.App, agree *consent.Flags, t methods.Target, n int) error {
	if err := agree.Check(app); err != nil {
		return err
	}
	return app.WithConn(ctx, func(ctx context.Context, conn *aegis.Conn) error {
		admin := aegisadmin.New(conn)
		numbers, err := numbersOf(ctx, admin, t)
		if err != nil {
			return err
		}
		if now := numbers[len(numbers)-1]; now != n {
			agreed, err := agree.Ask(ctx, app, fmt.Sprintf("Change the number of partitions of %s from %d to %d.", t, now, n))
			if !agreed || err != nil {
				return err
			}
		}
		// Also if the number is right: a change may have been left unfinished.
		if numbers, err = admin.SetPartitions(ctx, t.Service, t.Name, n); err != nil {
			return err
		}
		return printNumbers(app, t, numbers)
	})
}

// shown is the numbers of partitions of an event, as JSON shows them.
type shown struct {
	Service    string `json:"service"`
	Event      string `json:"event"`
	Partitions int    `json:"partitions"`
	Before     []int  `json:"before"`
}

func printNumbers(app *cli.App, t methods.Target, numbers []int) error {
	last := len(numbers) - 1
	if app.JSON() {
		return app.PrintJSON(shown{t.Service, t.Name, numbers[last], append([]int{}, numbers[:last]...)})
	}
	text := fmt.Sprintf("%s has %d partitions", t, numbers[last])
	if last > 0 {
		text += ", and had before: " + strings.Trim(fmt.Sprint(numbers[:last]), "[]")
	}
	return app.Printf("%s.\n", text)
}
