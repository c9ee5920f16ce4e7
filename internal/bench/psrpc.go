package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
)

const (
	// psrpcFolder has a module of its own: what psrpc brings is nothing for the
	// go.mod of this one.
	psrpcFolder = "internal/bench/psrpc"
	// psrpcMessages take about as long as a round does.
	psrpcMessages = 2_000
	buildLimit    = 5 * time.Minute // with downloads
)

func psrpcScenario() scenario {
	return scenario{
		name: "stream-psrpc",
		about: fmt.Sprintf("Messages of %d bytes in one stream from the server, each checked, against a stream of psrpc over NATS:\n"+
			"%d messages by psrpc, whose Send waits for the receiver's ack, and %d by Aegis in a round.", payloadBytes, psrpcMessages, flowMessages),
		run: runPSRPC,
	}
}

func runPSRPC(ctx context.Context, s *settings) (int, error) {
	dir, err := os.MkdirTemp("", "aegis-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "psrpc")
	if err := buildPSRPC(ctx, program); err != nil {
		return 0, err
	}
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	race := flowRace{nats: nats, pair: [2]contender{
		{name: "psrpc", service: g.startProgram(program, "psrpc-service", nats.url), client: g.startProgram(program, "psrpc-client", nats.url)},
		{name: aegisName, service: g.start("stream-service", nats.url), client: g.start("stream-client", nats.url)},
	}}
	if g.err != nil {
		return 0, g.err
	}
	race.flows = [2]child.Flow{{Messages: psrpcMessages, Bytes: payloadBytes}, {Messages: flowMessages, Bytes: payloadBytes}}
	got, err := race.run(s, opPull)
	if err != nil {
		return 0, err
	}
	got.print("messages/s")
	v := newVerdicts(os.Stdout, "aegis / psrpc, median (lowest..highest) of the rounds' ratios")
	v.judge("messages/s", median(got.rate), got.rate.String(), atLeast(5))
	return v.done(), nil
}

func buildPSRPC(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aegisrpc/aegis").Output()
	if err != nil {
		return fmt.Errorf("find the module, which has to be the current one: %w", err)
	}
	folder := filepath.Join(string(bytes.TrimSpace(root)), filepath.FromSlash(psrpcFolder))
	build := exec.CommandContext(ctx, "go", "build", "-C", folder, "-o", program, ".") //nolint:gosec // of this repository
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the contender in %s: %w\n%s", psrpcFolder, err, out)
	}
	return nil
}
