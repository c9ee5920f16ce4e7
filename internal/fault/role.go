//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// roleVariable names the part that a child process plays, and orderVariable has
// its order in JSON.
const (
	roleVariable  = "AEGIS_FAULT_ROLE"
	orderVariable = "AEGIS_FAULT_ORDER"
)

// The events that children print, each with a number and a reading of the shared
// clock.
const (
	eventReady   = "ready"   // it does its part from now on
	eventLeading = "leading" // a term has begun, after OnLeading
	eventLost    = "lost"    // a term is over
	eventTerm    = "term"    // a caller has the first reply of a newer term
	eventNext    = "next"    // a caller has the reply that was asked for
	eventCount   = "count"   // a NATS server has counted a connection's messages
	eventSent    = "sent"    // a sender has an end of all that it sent
)

// playRole runs the part of a child process, if this is one. It never returns
// then.
func playRole() {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	var err error
	switch role {
	case "nats":
		err = play(runNATS)
	case "candidate":
		err = play(runCandidate)
	case "crowd":
		err = play(runCrowd)
	case "sleeper":
		err = play(runSleeper)
	case "streamer":
		err = play(runStreamer)
	case "reader":
		err = play(runReader)
	case "worker":
		err = play(runWorker)
	case "sender":
		err = play(runSender)
	case "callers":
		err = play(runCallers)
	default:
		err = fmt.Errorf("%s=%s is no role; do not set it by hand", roleVariable, role)
	}
	if err != nil {
		slog.Error("child failed", "role", role, "err", err)
		os.Exit(1) //nolint:forbidigo // the main of a child
	}
	os.Exit(0) //nolint:forbidigo // the main of a child
}

func play[Order any](run func(Order) error) error {
	var order Order
	if err := json.Unmarshal([]byte(os.Getenv(orderVariable)), &order); err != nil {
		return fmt.Errorf("%s: %w", orderVariable, err)
	}
	return run(order)
}

// say prints an event in one write.
func say(event string, number uint64, at int64) {
	_, _ = fmt.Fprintln(os.Stdout, event, number, at) // the parent may be gone, and then so is this process soon
}

func sayReady() { say(eventReady, 0, history.Now()) }

// awaitParent reads commands until the parent closes the pipe or dies.
func awaitParent(command func(string)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if command != nil {
			command(lines.Text())
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}
