// Package program has the main function of the programs of this module that run until
// they are interrupted.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a program with the arguments of the process until it returns, or until an
// interrupt ends its context. It ends the process: with status 1 if run returns an error.
func Main(name string, run func(ctx context.Context, args []string, out io.Writer) error) {
	// Each of these would end the process before it has cleaned up. SIGPIPE is not among
	// them: asked for, it would also come from the sockets of peers that were killed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1) //nolint:forbidigo // it is the main function of its programs
	}
}
