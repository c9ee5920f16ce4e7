//go:build linux

package world

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/natsproxy"
	"github.com/aegisrpc/aegis/internal/procs"
)

// Room in the histories, in records.
const (
	callsRoom    = 16 << 20
	handlersRoom = 32 << 20
)

// RegisterKeys is how many registers the callers use.
const RegisterKeys = 64

// Candidate is a process that stands for election.
type Candidate struct {
	*procs.Process

	Order  roles.CandidateOrder
	Proxy  *natsproxy.Held // nil if there is none
	server int             // the NATS server that it prefers
}

// AddCandidate starts a candidate; without a name it gets a new one.
func (w *World) AddCandidate(name string) (*Candidate, error) {
	w.made++
	if name == "" {
		name = fmt.Sprint("c", w.made)
	}
	process := fmt.Sprint(name, "-", w.made)
	c := &Candidate{server: (w.made - 1) % len(w.Servers)}
	url := w.URLs(c.server)
	if w.Proxied {
		var err error
		if c.Proxy, err = natsproxy.NewHeld(w.Servers[c.server].Addr()); err != nil {
			return nil, err
		}
		url = c.Proxy.URL()
	}
	c.Order = roles.CandidateOrder{
		URL: url, Instance: name, Replicas: len(w.Servers), Election: w.Election,
		History: w.AddHistory(process), Room: handlersRoom,
	}
	var err error
	if c.Process, err = w.Start(process, roles.Candidate, c.Order); err != nil {
		return nil, err
	}
	w.Candidates = append(w.Candidates, c)
	return c, nil
}

// Remove forgets a candidate that has ended.
func (w *World) Remove(c *Candidate) {
	if c.Proxy != nil {
		c.Proxy.Close()
	}
	w.Candidates = slices.DeleteFunc(w.Candidates, func(other *Candidate) bool { return other == c })
}

// Replace starts a candidate in place of one that has ended; without a name it gets
// a new one.
func (w *World) Replace(ctx context.Context, c *Candidate, name string) error {
	w.Remove(c)
	fresh, err := w.AddCandidate(name)
	if err != nil {
		return err
	}
	return w.AwaitReady(ctx, fresh.Process)
}

// FirstReady is when the first of the candidates was running.
func (w *World) FirstReady() int64 {
	began := int64(0)
	for _, c := range w.Candidates {
		if at := w.ReadyAt(c.Process); at != 0 && (began == 0 || at < began) {
			began = at
		}
	}
	return began
}

// startCallers starts one process of callers for each NATS server.
func (w *World) startCallers(ctx context.Context) error {
	processes := min(len(w.Servers), w.Callers)
	for i := range processes {
		name := fmt.Sprint("callers-", i)
		count := w.Callers / processes
		if i == 0 {
			count += w.Callers % processes
		}
		c, err := w.Start(name, roles.Callers, roles.CallersOrder{
			URL: w.URLs(i), First: 1000 * i, Count: count, Keys: RegisterKeys,
			History: w.AddCalls(name), Room: callsRoom, Timeout: w.Timeout,
		})
		if err != nil {
			return err
		}
		w.callers = append(w.callers, c)
		if err := w.AwaitReady(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// historyPath is where a process records what it does.
func (w *World) historyPath(process string) string {
	return filepath.Join(w.Dir, process+historySuffix)
}
