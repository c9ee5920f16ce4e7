package main

import (
	"context"
	"slices"
	"time"
)

// group is the processes of a scenario. After the first error it starts none, so that
// err is looked at once.
type group struct {
	ctx     context.Context //nolint:containedctx // the scenario's
	started []*process
	err     error
}

func newGroup(ctx context.Context) *group { return &group{ctx: ctx} }

// start starts a role of this program, connected to a NATS server.
func (g *group) start(role, url string) *process { return g.startProgram("", role, url) }

// startProgram starts a role of another program than this one.
func (g *group) startProgram(program, role, url string) *process {
	if g.err != nil {
		return &process{}
	}
	p, err := startProcess(g.ctx, program, role, url)
	if err != nil {
		g.err = err
		return &process{}
	}
	g.started = append(g.started, p)
	return p
}

// stop ends those first that were started last: clients before servers.
func (g *group) stop() {
	for _, p := range slices.Backward(g.started) {
		p.stop()
	}
}

// cpuOf is the processor time that each process has used so far.
func cpuOf(processes ...*process) ([]time.Duration, error) {
	used := make([]time.Duration, len(processes))
	for i, p := range processes {
		var err error
		if used[i], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	return used, nil
}
