//go:build linux

// Package world starts what a scenario of the fault harness needs around it, as
// processes of their own: a NATS server, or some in a cluster, candidates of a
// single active service, and callers. It follows what they say, waits for it, and
// collects the histories that they leave behind. It breaks nothing by itself: that
// is for the scenarios, in the packages calls, durable and streams.
package world

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/procs"
	"github.com/aegisrpc/aegis/runtime/election"
)

// Setup says which processes a scenario needs around it.
type Setup struct {
	Servers    int // NATS servers: 1, or some in a cluster
	Candidates int
	Callers    int
	Timeout    time.Duration // of a call, 0 for the method's own
	Election   election.Config
	Proxied    bool // candidates are connected through a proxy each
	Tap        bool // somebody subscribes to everything
	Together   bool // the candidates start at the same instant
	Tagged     bool // the NATS servers have tags, see tagsOf
	Procs      int  // GOMAXPROCS of all processes; 0: as Go has it
}

// Single returns the usual setup: one NATS server, three candidates, the default
// lease.
func Single() Setup {
	return Setup{Servers: 1, Candidates: 3, Election: election.Balanced.Config()}
}

// Bare returns a setup with one NATS server, without candidates and callers.
func Bare() Setup {
	return Setup{Servers: 1, Election: election.Balanced.Config()}
}

// ReadyWithin bounds how long a process may take until it does its part.
const ReadyWithin = 60 * time.Second

// finishWithin bounds how long a process may take to end when it is asked to.
const finishWithin = 20 * time.Second

// World holds the processes of a run, and everything that the harness knows of them.
// Its methods and fields belong to the goroutine that runs the scenario. Only methods
// that start children and listen to them (Start, AwaitReady, ReadyAt, Heard) may be
// called by others meanwhile.
type World struct {
	Setup

	Log     *slog.Logger
	Dir     string // of all files, removed by Close
	Monitor *nats.Conn
	JS      jetstream.JetStream

	Servers    []*NATSServer
	Candidates []*Candidate
	// StoreLost means that a NATS server has lost its data, so that writes cannot be
	// judged.
	StoreLost bool

	callers    []*procs.Process
	others     []*procs.Process // started by StartReady
	made       int              // candidates so far, to name them
	histories  map[string]string
	calls      []string
	unanswered []history.Record // calls of the harness itself
	windows    []window         // in which a fault may show

	said said
}

// New starts everything but the callers' counting: use Settle to wait until
// somebody leads.
func New(ctx context.Context, s Setup, log *slog.Logger) (_ *World, err error) {
	w := &World{Setup: s, Log: log, histories: make(map[string]string), said: newSaid()}
	if w.Dir, err = os.MkdirTemp("", "aegis-fault-"); err != nil {
		return nil, err
	}
	w.OpenWindow() // until somebody leads
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if err := w.startServers(ctx); err != nil {
		return nil, err
	}
	if err := w.watch(); err != nil {
		return nil, err
	}
	if err := w.startCallers(ctx); err != nil {
		return nil, err
	}
	for range s.Candidates {
		if _, err := w.AddCandidate(""); err != nil {
			return nil, err
		}
		if !s.Together {
			if err := w.AwaitReady(ctx, w.Candidates[len(w.Candidates)-1].Process); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// watch connects the harness itself.
func (w *World) watch() error {
	var err error
	w.Monitor, err = nats.Connect(w.URLs(0), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.IgnoreAuthErrorAbort(), nats.PingInterval(time.Second), nats.MaxPingsOutstanding(5), nats.Name("harness"))
	if err != nil {
		return err
	}
	if w.JS, err = jetstream.New(w.Monitor); err != nil {
		return err
	}
	if w.Tap {
		if _, err = w.Monitor.Subscribe(">", func(*nats.Msg) {}); err != nil {
			return err
		}
	}
	return w.Monitor.Flush()
}

// Finish lets callers and then candidates come to their end.
func (w *World) Finish(ctx context.Context) error {
	errs := []error{w.FinishCallers(ctx)}
	for _, c := range w.Candidates {
		_ = c.Thaw()
		if c.Proxy != nil {
			c.Proxy.OpenAll()
		}
	}
	for _, c := range w.Candidates {
		errs = append(errs, Finish(ctx, c.Process))
	}
	return errors.Join(errs...)
}

// FinishCallers lets callers come to their end.
func (w *World) FinishCallers(ctx context.Context) error {
	var errs []error
	for _, c := range w.callers {
		errs = append(errs, Finish(ctx, c))
	}
	return errors.Join(errs...)
}

// Finish lets a child come to its end, and kills it if that takes too long.
func Finish(ctx context.Context, c *procs.Process) error { return c.Finish(ctx, finishWithin) }

// Close kills the processes that still run and removes all files.
func (w *World) Close() {
	for _, c := range w.callers {
		c.Kill()
	}
	for _, c := range w.others {
		c.Kill()
	}
	for _, c := range w.Candidates {
		c.Kill()
		if c.Proxy != nil {
			c.Proxy.Close()
		}
	}
	if w.Monitor != nil {
		w.Monitor.Close()
	}
	for _, s := range w.Servers {
		s.close()
	}
	_ = os.RemoveAll(w.Dir) // a temporary folder
}
