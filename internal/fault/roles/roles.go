//go:build linux

// Package roles is what the child processes of the fault harness do, each of them this
// binary again: Command starts one, and Play, which its main calls first, never
// returns in it. A role gets an order, prints events on its standard output, and may
// be told commands on its standard input; when that is closed, it ends.
//
//	candidate.go service.go   serves registers that only the leader changes, and
//	registers.go              keeps them in a stream, fenced by the term
//	callers.go                calls without end, and never sends a call again
//	crowd.go sleeper.go       stands in many groups, or only wakes up, for the costs
//	worker.go sender.go       works and sends commands and events; durableservice.go
//	streamer.go reader.go     serves and uses streams of items (items.go)
//	nats.go                   runs a NATS server
//	serve.go                  what the roles that serve have in common
package roles

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// The roles of child processes, each in a file of its own.
const (
	Candidate = "candidate"
	Callers   = "callers"
	Crowd     = "crowd"
	Sleeper   = "sleeper"
	NATS      = "nats"
	Streamer  = "streamer"
	Reader    = "reader"
	Worker    = "worker"
	Sender    = "sender"
)

// roleVariable names the part that a child process plays, and orderVariable has
// its order in JSON.
const (
	roleVariable  = "AEGIS_FAULT_ROLE"
	orderVariable = "AEGIS_FAULT_ORDER"
)

// Command returns the command that starts this binary again in a role. Its main has
// to call Play first of all.
func Command(role string, order any) (*exec.Cmd, error) {
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self) //nolint:gosec,noctx // itself; whoever starts it kills it
	cmd.Env = append(os.Environ(), roleVariable+"="+role, orderVariable+"="+string(text))
	return cmd, nil
}

// The events that children print, each with a number and a reading of the shared
// clock.
const (
	EventReady   = "ready"   // it does its part from now on
	EventLeading = "leading" // a term has begun, after OnLeading
	eventLost    = "lost"    // a term is over
	EventTerm    = "term"    // a caller has the first reply of a newer term
	EventNext    = "next"    // a caller has the reply that was asked for
	EventCount   = "count"   // a NATS server has counted a connection's messages
	EventSent    = "sent"    // a sender has an end of all that it sent
)

// Play runs the part of a child process, if this is one. It never returns
// then.
func Play() {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	var err error
	switch role {
	case NATS:
		err = play(runNATS)
	case Candidate:
		err = play(runCandidate)
	case Crowd:
		err = play(runCrowd)
	case Sleeper:
		err = play(runSleeper)
	case Streamer:
		err = play(runStreamer)
	case Reader:
		err = play(runReader)
	case Worker:
		err = play(runWorker)
	case Sender:
		err = play(runSender)
	case Callers:
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

// Said is an event that a child has printed.
type Said struct {
	Event  string
	Number uint64
	At     int64 // by the shared clock; 0 where that does not matter
}

// ParseSaid reads a line of a child's standard output. It returns false if that is
// no event.
func ParseSaid(line string) (s Said, ok bool) {
	_, err := fmt.Sscan(line, &s.Event, &s.Number, &s.At)
	return s, err == nil
}

// say prints an event in one write.
func say(event string, number uint64, at int64) {
	_, _ = fmt.Fprintln(os.Stdout, event, number, at) // the parent may be gone, and then so is this process soon
}

func sayReady() { say(EventReady, 0, history.Now()) }

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
