package bench

import (
	"os"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/report"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// show prints the report.
func show(app *cli.App, r *report.Report) error {
	if app.JSON() {
		return app.PrintJSON(r)
	}
	colours := map[report.Meaning]cli.Colour{
		report.Title: cli.Bold, report.Faint: cli.Dim, report.Good: cli.Green, report.Bad: cli.Red,
	}
	c := &report.Canvas{
		Width: width(app), ASCII: !utf8Locale(os.Getenv),
		Paint: func(m report.Meaning, text string) string { return app.Style.Paint(colours[m], text) },
	}
	r.Draw(c)
	return app.Printf("%s", c.String())
}

// width is that of the terminal, else that in COLUMNS, else 80.
func width(app *cli.App) int {
	if w, ok := app.Terminal(); ok {
		return w
	}
	if w, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && w > 0 {
		return w
	}
	return 80
}

// utf8Locale tells whether the terminal shows characters beyond ASCII, by the variables that
// POSIX gives this order.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(getenv(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}
