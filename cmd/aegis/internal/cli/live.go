package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNoTerminal is the error of a live view whose output is no terminal.
var ErrNoTerminal = errors.New("--watch redraws the terminal, and the output is none; leave it out, or use `aegis watch`")

// Live draws what draw prints again and again, until ctx ends or draw fails.
func (a *App) Live(ctx context.Context, every time.Duration, draw func(*App) error) error {
	if a.width == 0 || a.JSON() {
		return ErrNoTerminal
	}
	if every < 100*time.Millisecond {
		return Usagef("--interval %s: use 100ms or more", every)
	}
	tick := time.NewTicker(every)
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
