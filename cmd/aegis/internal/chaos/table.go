package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	show "github.com/aegisrpc/aegis/cmd/aegis/internal/bench/report"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// show prints the report.
func (r *report) show(app *cli.App) error {
	if app.JSON() {
		return app.PrintJSON(r)
	}
	if err := app.Printf("\n"); err != nil {
		return err
	}
	return app.Print(r, r.table)
}

// table is one row for each figure.
func (r *report) table(t *cli.Table) {
	t.Header("FIGURE", "VALUE")
	faults := strconv.Itoa(len(r.Faults))
	if len(r.Faults) < r.order.faults {
		faults += fmt.Sprintf(" of %d", r.order.faults)
	}
	if r.Interrupted {
		faults += ", interrupted"
	}
	t.Row("faults", faults)
	if r.Failover.Count > 0 {
		t.Row("failover, median", show.Millis(r.Failover.Median))
		t.Row("failover, longest", show.Millis(r.Failover.Worst))
	}
	t.Row("calls", r.Totals.Calls)
	t.Row("calls that failed", coloured(r.Totals.Failed))
	for _, name := range slices.Sorted(maps.Keys(r.Totals.Codes)) {
		c := r.Totals.Codes[name]
		t.Row("  "+name, fmt.Sprintf("%d, such as: %s", c.Count, c.Example))
	}
	t.Row("outcome unknown", coloured(r.Totals.Unknown))
	if r.Totals.Apart > 0 {
		t.Row("failed apart from faults", coloured(r.Totals.Apart))
	}
	for _, l := range r.Limits {
		held := cli.Styled{Text: "held", Colour: cli.Green}
		if !l.Held {
			held = cli.Styled{Text: "EXCEEDED", Colour: cli.Red}
		}
		t.Row("--"+l.Name, held)
	}
}

func coloured(n int64) cli.Styled {
	if n > 0 {
		return cli.Styled{Text: strconv.FormatInt(n, 10), Colour: cli.Yellow}
	}
	return cli.Styled{Text: "0", Colour: cli.Green}
}
