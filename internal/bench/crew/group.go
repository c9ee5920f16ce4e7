// Package crew starts the processes of a scenario of the benchmark, asks them for what
// package roles lets them do, and ends them.
package crew

import (
	"context"
	"slices"
	"time"
)

// Group holds the processes of a scenario. After the first error it starts no more
// processes, so that a scenario looks at Err once.
type Group struct {
	ctx     context.Context //nolint:containedctx // the scenario's
	started []*Process
	Err     error
}

// New returns a group without processes.
func New(ctx context.Context) *Group { return &Group{ctx: ctx} }

// Start starts a role of this program, connected to a NATS server.
func (g *Group) Start(role, url string) *Process { return g.StartProgram("", role, url) }

// StartProgram starts a role of another program than this one.
func (g *Group) StartProgram(program, role, url string) *Process {
	if g.Err != nil {
		return &Process{}
	}
	p, err := startProcess(g.ctx, program, role, url)
	if err != nil {
		g.Err = err
		return &Process{}
	}
	g.started = append(g.started, p)
	return p
}

// Stop ends the processes in the reverse order of their starts: clients before
// servers.
func (g *Group) Stop() {
	for _, p := range slices.Backward(g.started) {
		p.stop()
	}
}

// CPUOf returns the processor time that each process has used so far.
func CPUOf(processes ...*Process) ([]time.Duration, error) {
	used := make([]time.Duration, len(processes))
	for i, p := range processes {
		var err error
		if used[i], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	return used, nil
}
