package stored

import (
	"iter"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// Limit is the flag of a subcommand that lists what is stored.
type Limit struct{ most int }

// Define adds the flag to a command that lists things of this name, such as "commands".
func (l *Limit) Define(c *cobra.Command, things string) {
	c.Flags().IntVar(&l.most, "limit", 100, "list at most so many "+things+"; 0 for all")
}

// Check returns an error for a limit that makes no sense.
func (l *Limit) Check() error {
	if l.most < 0 {
		return cli.Usagef("--limit %d: use 0 for all, or more", l.most)
	}
	return nil
}

// List reads up to the limit of what is stored, and shows it: as JSON each in a line when
// it has come, else as the table that fill makes of all. While it reads, a person sees the
// text reading. The number is that of the rows; the caller says why there are none.
func List[T, R any](app *cli.App, reading string, limit *Limit, found iter.Seq2[T, error], row func(T) R, fill func(*cli.Table, []R)) (int, error) {
	progress := app.Progress(reading)
	defer progress.Done()
	var rows []R
	n := 0
	for one, err := range found {
		if err != nil {
			return n, err
		}
		if limit.most > 0 && n == limit.most {
			defer app.Notef("There are more than %d; see them with --limit 0.", n)
			break
		}
		n++
		if !app.JSON() {
			rows = append(rows, row(one))
			continue
		}
		if err := app.PrintLine(row(one)); err != nil {
			return n, err
		}
	}
	progress.Done()
	if n == 0 || app.JSON() {
		return n, nil
	}
	return n, app.Print(rows, func(t *cli.Table) { fill(t, rows) })
}
