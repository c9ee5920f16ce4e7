package stored

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/consent"
)

// maxLeft bounds the things that stay and are told one by one.
const maxLeft = 100

// Change is a subcommand that does the same to one stored thing or to many.
type Change struct {
	App  *cli.App
	Noun string // such as "dead letter"
	Verb string // at the beginning of a sentence, such as "Put back"
	Done string // such as "put back"
	// ID is how the help calls the argument that names one, such as "SEQUENCE"; Filters are
	// the flags that pick many.
	ID      string
	Filters []string

	all     bool
	consent consent.Flags
}

// Define adds the flags to a command.
func (c *Change) Define(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.all, "all", false, "all "+c.Noun+"s of the service or the method (default false)")
	c.consent.Define(cmd)
}

// Check returns an error unless the arguments name some or the flags pick some, and not
// both, and unless somebody agrees or can be asked to.
func (c *Change) Check(cmd *cobra.Command, named bool) error {
	picked := c.all
	for _, name := range c.Filters {
		picked = picked || cmd.Flags().Changed(name)
	}
	flags := "--all, --" + strings.Join(c.Filters, ", --")
	switch {
	case named && picked:
		return cli.Usagef("with %s, leave out %s: it names the %s", c.ID, flags, c.Noun)
	case !named && !picked:
		return cli.Usagef("which %ss? Name %s, or pick them with %s", c.Noun, c.ID, flags)
	}
	return c.consent.Check(c.App)
}

// Ask says to which things it is about to happen, such as "3 commands of
// order.v1.OrderService.", and returns whether it may.
func (c *Change) Ask(ctx context.Context, things string) (bool, error) {
	return c.consent.Ask(ctx, c.App, c.Verb+" "+things)
}

// Count is Count of the things that are changed.
func (c *Change) Count(n int) string { return cli.Count(n, c.Noun) }

// Working begins to show how many of n things are done. The caller tells more with so, and
// ends it with end.
func (c *Change) Working(n int) (so func(done int), end func()) {
	working := c.App.Progress(fmt.Sprintf("0 of %d %s", n, c.Done))
	return func(done int) { working.Sayf("%d of %d %s", done, n, c.Done) }, working.Done
}

// Broken returns the error for a change that could not go on.
func (c *Change) Broken(done, n int, err error) error {
	return fmt.Errorf("%d of %d %s, then: %w", done, n, c.Done, err)
}

// Outcome is what was done, as JSON shows it.
type Outcome struct {
	Service string `json:"service"`
	Method  string `json:"method,omitempty"`
	Done    int    `json:"done"`
	Failed  int    `json:"failed"`
	// Left are things that could not be changed, at most 100 of them.
	Left []Left `json:"left,omitempty"`
}

// Left is a thing that could not be changed.
type Left struct {
	ID       string `json:"id,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	Error    string `json:"error"`
}

// Add counts a change, or what has failed of it.
func (o *Outcome) Add(l Left, err error) {
	if err == nil {
		o.Done++
		return
	}
	if o.Failed++; len(o.Left) < maxLeft {
		l.Error = err.Error()
		o.Left = append(o.Left, l)
	}
}

// Report says what was done; that something stays is an error.
func (c *Change) Report(o *Outcome) error {
	if c.App.JSON() {
		if err := c.App.PrintJSON(o); err != nil {
			return err
		}
	} else if err := c.App.Printf("%s %s.\n", c.Count(o.Done), c.Done); err != nil {
		return err
	}
	if o.Failed == 0 {
		return nil
	}
	for _, l := range o.Left {
		name := l.ID
		if name == "" {
			name = strconv.FormatUint(l.Sequence, 10)
		}
		c.App.Notef("%s", cli.Clean(name+": "+l.Error))
	}
	return fmt.Errorf("%s not %s", c.Count(o.Failed), c.Done)
}
