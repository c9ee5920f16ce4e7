package instances

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// Report is how well an instance is, as JSON shows it.
type Report struct {
	Service  string         `json:"service"`
	Instance string         `json:"instance"`
	State    string         `json:"state"`
	Verdict  string         `json:"verdict"`
	Reserved bool           `json:"reserved,omitempty"`
	Report   *health.Report `json:"report,omitempty"`
}

// The verdicts.
const (
	verdictHealthy   = "healthy"
	verdictUnhealthy = "unhealthy"
	verdictStarting  = "not running"
	verdictSilent    = "no report"
)

// Health returns the subcommand health.
func Health(app *cli.App) *cobra.Command {
	var again cli.Again
	c := &cobra.Command{
		Use:   "health [SERVICE]",
		Short: "Show how well the instances are: grade, rate, errors, latency, findings",
		Long: "Shows the report in each instance's last heartbeat: the figures of the last minute, the usage of\n" +
			"the process, and what its checks have found. It waits for the first heartbeats, at most 2 s or so.\n" +
			"The exit code is 1 if SERVICE has no instance, or if an instance is unhealthy or does not run;\n" +
			"reserved instances, which take only calls that choose them, do not count.",
		Example: "  aegis health\n  aegis health order.v1.OrderService --watch",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			service := serviceOf(args)
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				if again.On {
					return app.Live(ctx, &again, func(app *cli.App) error {
						reports, err := readReports(ctx, conn, service)
						if err != nil {
							return err
						}
						return printReports(app, reports)
					})
				}
				return showHealth(ctx, app, conn, service)
			})
		},
	}
	again.Define(c.Flags(), "draw the terminal", time.Second)
	return c
}

func showHealth(ctx context.Context, app *cli.App, conn *aegis.Conn, service string) error {
	progress := app.Progress("waiting for heartbeats")
	reports, err := awaitReports(ctx, conn, service)
	progress.Done()
	if err != nil {
		return err
	}
	if len(reports) == 0 && service != aegis.AllServices {
		return unknownService(ctx, conn, service)
	}
	if err := printReports(app, reports); err != nil {
		return err
	}
	serving := slices.DeleteFunc(reports, func(r Report) bool { return r.Reserved })
	bad := func(r Report) bool { return r.Verdict == verdictUnhealthy || r.Verdict == verdictStarting }
	if slices.ContainsFunc(serving, bad) || len(serving) == 0 && service != aegis.AllServices {
		return cli.Exit(1)
	}
	return nil
}

// awaitReports reads the reports, and waits up to a heartbeat and a half for instances that
// have not been heard yet.
func awaitReports(ctx context.Context, conn *aegis.Conn, service string) ([]Report, error) {
	const look, patience = 50 * time.Millisecond, 3 * time.Second
	deadline := time.Now().Add(patience)
	for {
		reports, err := readReports(ctx, conn, service)
		silent := func(r Report) bool { return r.Report == nil }
		if err != nil || !slices.ContainsFunc(reports, silent) || time.Now().After(deadline) {
			return reports, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(look):
		}
	}
}

func readReports(ctx context.Context, conn *aegis.Conn, service string) ([]Report, error) {
	instances, err := conn.Instances(ctx, service)
	if err != nil {
		return nil, err
	}
	reports := make([]Report, 0, len(instances))
	for _, i := range instances {
		r := Report{Service: i.Service, Instance: i.Name, State: i.State.String(), Verdict: verdictHealthy, Reserved: i.Reserved}
		if report, ok := i.Health(); ok {
			r.Report = &report
		}
		switch {
		case i.Unhealthy:
			r.Verdict = verdictUnhealthy
		case i.State != aegis.StateRunning:
			r.Verdict = verdictStarting
		case r.Report == nil:
			r.Verdict = verdictSilent
		}
		reports = append(reports, r)
	}
	return reports, nil
}

func printReports(app *cli.App, reports []Report) error {
	if len(reports) == 0 && !app.JSON() {
		app.Notef("No service runs here.")
		return nil
	}
	return app.Print(reports, func(t *cli.Table) {
		t.Header("SERVICE", "INSTANCE", "HEALTH", "GRADE", "SCORE", "CALLS/S", "ERRORS", "P50", "P99", "IN FLIGHT", "CPU", "MEMORY", "FINDINGS")
		for _, r := range reports {
			t.Row(append([]any{r.Service, r.name(), r.verdictCell()}, r.figures()...)...)
		}
	})
}

func (r *Report) name() string {
	if r.Reserved {
		return r.Instance + " (" + reserved + ")"
	}
	return r.Instance
}

func (r *Report) verdictCell() cli.Styled {
	switch r.Verdict {
	case verdictHealthy:
		return cli.Styled{Text: r.Verdict, Colour: cli.Green}
	case verdictUnhealthy:
		return cli.Styled{Text: r.Verdict, Colour: cli.Red}
	default:
		return cli.Styled{Text: r.Verdict, Colour: cli.Yellow}
	}
}

// figures returns the cells of the report; they are empty without one.
func (r *Report) figures() []any {
	if r.Report == nil {
		return []any{"", "", "", "", "", "", "", "", "", ""}
	}
	p50, p99 := "", ""
	if l := r.Report.Latency; l != nil {
		p50, p99 = short(l.P50), short(l.P99)
	}
	cpu := ""
	if c := r.Report.Usage.CPUPercent; c != nil {
		cpu = fmt.Sprintf("%.1f%%", *c)
	}
	var findings []string
	for _, f := range r.Report.Findings {
		findings = append(findings, f.Check+": "+cmp.Or(f.Reason, "found something"))
	}
	return []any{
		string(r.Report.Grade), fmt.Sprintf("%.0f", r.Report.Score), fmt.Sprintf("%.1f", r.Report.PerMinute/60),
		fmt.Sprintf("%.1f%%", r.Report.ErrorPercent()), p50, p99, r.Report.InFlight, cpu, megabytes(r.Report.Usage.MemoryBytes),
		strings.Join(findings, "; "),
	}
}

// short returns a latency with about three digits.
func short(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, 100 * time.Millisecond, time.Millisecond} {
		if d >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.Round(time.Microsecond).String()
}

func megabytes(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f MB", float64(bytes)/1e6)
}
