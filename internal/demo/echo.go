package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

const (
	// echoDelay is how long a call takes in its server, so that some are inside
	// when it is killed.
	echoDelay = 5 * time.Millisecond

	echoCalls    = 3000
	echoKillAt   = echoCalls / 3
	echoStopAt   = echoCalls * 2 / 3
	echoInFlight = 16
	echoDeadline = 2 * time.Second
)

// echoPart runs three echo servers and a client, all processes of their own,
// kills one server and stops another while the client calls.
func echoPart(ctx context.Context, s *stage) error {
	ctx, cancel := limitPart(ctx)
	defer cancel()
	registry, err := openRegistry(ctx, s, "echo.v1.EchoService")
	if err != nil {
		return err
	}
	defer registry.close()
	e := &echoShow{stage: s, registry: registry, handled: map[string]int{}}
	if err := e.startServers(ctx, "echo-1", "echo-2", "echo-3"); err != nil {
		return err
	}
	report, err := e.runClient(ctx)
	if err != nil {
		return err
	}
	showErr := registry.show(ctx, "after the faults", serving("echo-3"))
	stopErr := e.stop(e.servers[2]) // the balance may say more about it
	balance := &echoBalance{
		load: echoLoad{load: load{count: echoCalls, inFlight: echoInFlight}}, report: report,
		killed: e.servers[0].Name, gone: e.gone, handled: e.handled,
	}
	fmt.Fprintf(s.out, "\n%s\n", balance)
	return errors.Join(showErr, stopErr, balance.check())
}

// echoShow is the part while it runs.
type echoShow struct {
	stage    *stage
	registry *registry
	servers  []*process
	// gone is when NATS had seen the end of the server that was killed.
	gone time.Time
	// handled is how many calls the others say that they handled.
	handled map[string]int
}

func (e *echoShow) startServers(ctx context.Context, names ...string) (err error) {
	if e.servers, err = e.stage.startServers(ctx, echoServerRole, names, "--delay", echoDelay.String()); err != nil {
		return err
	}
	if err := e.registry.show(ctx, "before the faults", serving(names...)); err != nil {
		return err
	}
	e.stage.sayf("%d servers serve: %s", len(e.servers), listed(e.servers))
	return nil
}

// runClient runs the client from its start to its report, and sees to the faults
// on the way.
func (e *echoShow) runClient(ctx context.Context) (*echoReport, error) {
	load := echoLoad{load: load{natsURL: e.stage.nats.ClientURL(), count: echoCalls, inFlight: echoInFlight}, deadline: echoDeadline}
	client, err := e.stage.start(ctx, echoClientRole, echoClientRole, load.args()...)
	if err != nil {
		return nil, err
	}
	e.stage.sayf("%s makes %s calls, %d at a time, with a deadline of %v each",
		client, thousands(load.count), load.inFlight, load.deadline)
	faults := []struct {
		at int
		do func() error
	}{
		{echoKillAt, func() error { return e.kill(ctx, e.servers[0]) }},
		{echoStopAt, func() error {
			return errors.Join(e.stop(e.servers[1]), e.registry.show(ctx, "meanwhile, until echo-1 is missed", without("echo-2")))
		}},
	}
	for lines := json.NewDecoder(client.stdout); ; {
		var news echoNews
		if err := lines.Decode(&news); err != nil {
			return nil, client.failure("it ended without a report: " + err.Error())
		}
		if len(faults) > 0 && news.Finished >= faults[0].at {
			e.stage.sayf("%s calls are done", thousands(news.Finished))
			if err := faults[0].do(); err != nil {
				return nil, err
			}
			faults = faults[1:]
		}
		if news.Report != nil {
			e.stage.sayf("all calls are done")
			_, err := client.finish()
			return news.Report, err
		}
	}
}

func (e *echoShow) kill(ctx context.Context, p *process) error {
	clients := e.stage.nats.NumClients()
	began := time.Now()
	if err := p.killRunning(); err != nil {
		return err
	}
	err := await(ctx, func() bool { return e.stage.nats.NumClients() < clients })
	e.gone = time.Now()
	e.stage.sayf("%s was killed (SIGKILL); NATS noticed within %v", p.Name, rounded(e.gone.Sub(began)))
	return err
}

var stoppedLine = regexp.MustCompile(`is STOPPED after (\d+) calls`)

func (e *echoShow) stop(p *process) error {
	began := time.Now()
	said, err := p.terminate()
	if err != nil {
		return err
	}
	match := stoppedLine.FindStringSubmatch(said)
	if match == nil {
		return fmt.Errorf("%s did not say that it stopped, but %q", p.Name, said)
	}
	if e.handled[p.Name], err = strconv.Atoi(match[1]); err != nil {
		return err
	}
	e.stage.sayf("%s was stopped (SIGTERM); it finished its calls and ended within %v", p.Name, rounded(time.Since(began)))
	return nil
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
