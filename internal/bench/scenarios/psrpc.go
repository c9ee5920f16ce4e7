package scenarios

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/internal/bench/roles"
)

const (
	// psrpcFolder has a module of its own: what psrpc brings is nothing for the
	// go.mod of this one.
	psrpcFolder = "internal/bench/psrpc"
	// psrpcMessages take about as long as a round does.
	psrpcMessages = 2_000
	buildLimit    = 5 * time.Minute // with downloads
)

func psrpcScenario() Scenario {
	return Scenario{
		Name: "stream-psrpc",
		About: fmt.Sprintf("Messages of %d bytes in one stream from the server, each checked, against a stream of psrpc over NATS:\n"+
			"%d messages by psrpc, whose Send waits for the receiver's ack, and %d by Aegis in a round.", load.PayloadBytes, psrpcMessages, flowMessages),
		Run: runPSRPC,
	}
}

func runPSRPC(ctx context.Context, s *Settings) (int, error) {
	dir, err := os.MkdirTemp("", "aegis-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "psrpc")
	if err := buildPSRPC(ctx, program); err != nil {
		return 0, err
	}
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	race := flowRace{nats: nats, pair: [2]contender{
		{name: "psrpc", service: g.StartProgram(program, "psrpc-service", nats.URL), client: g.StartProgram(program, "psrpc-client", nats.URL)},
		{name: aegisName, service: g.Start("stream-service", nats.URL), client: g.Start("stream-client", nats.URL)},
	}}
	if g.Err != nil {
		return 0, g.Err
	}
	race.flows = [2]child.Flow{{Messages: psrpcMessages, Bytes: load.PayloadBytes}, {Messages: flowMessages, Bytes: load.PayloadBytes}}
	got, err := race.run(s, roles.OpPull)
	if err != nil {
		return 0, err
	}
	got.print("messages/s")
	v := figures.NewVerdicts(os.Stdout, "aegis / psrpc, median (lowest..highest) of the rounds' ratios")
	v.Judge("messages/s", figures.Median(got.rate), got.rate.String(), figures.AtLeast(5))
	return v.Done(), nil
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
