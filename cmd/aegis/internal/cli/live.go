package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// ErrNoTerminal is the error of a live view whose output is no terminal.
var ErrNoTerminal = errors.New("--watch redraws the terminal, and the output is none; leave it out, or use `aegis watch`")

// leastInterval bounds --interval.
const leastInterval = 100 * time.Millisecond

// Again is the flags of a subcommand that can look again and again.
type Again struct {
	On    bool
	Every time.Duration
}

// Define adds the flags to a command. does says what the command does each time, such as
// "draw the terminal".
func (g *Again) Define(f *pflag.FlagSet, does string, every time.Duration) {
	f.BoolVarP(&g.On, "watch", "w", false, "look again and again until Ctrl-C, and "+does+" (default: look once)")
	f.DurationVar(&g.Every, "interval", every, "time between two looks of --watch")
}

// Check returns an error for an interval that makes no sense.
func (g *Again) Check() error {
	if g.Every < leastInterval {
		return Usagef("--interval %s: use %s or more", g.Every, leastInterval)
	}
	return nil
}

// Live draws what draw prints again and again, until ctx ends or draw fails.
func (a *App) Live(ctx context.Context, again *Again, draw func(*App) error) error {
	if a.width == 0 || a.JSON() {
		return ErrNoTerminal
	}
	if err := again.Check(); err != nil {
		return err
	}
	tick := time.NewTicker(again.Every)
	defer tick.Stop()
	for {
		var page bytes.Buffer
		once := *a
		once.Out, once.Err = &page, &page
		if err := draw(&once); err != nil {
			return err
		}
		lines := strings.ReplaceAll(page.String(), "\n", "\x1b[K\n")
		if _, err := fmt.Fprintf(a.Out, "\x1b[H%s\x1b[J", lines); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
