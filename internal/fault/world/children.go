//go:build linux

package world

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/procs"
)

// said collects the events that all children have printed.
type said struct {
	mu      sync.Mutex    // guards the rest
	changed chan struct{} // closed at each event, and replaced

	ready   map[*procs.Process]int64  // since when a child does its part
	leading map[uint64]*procs.Process // by term
	replied map[uint64]int64          // the first reply of a term
	next    int64                     // the reply that was asked for, 0 until it comes
	// told has the last number of every other event, by child and event. Of
	// roles.EventDone it is how often that was said.
	told map[*procs.Process]map[string]uint64
}

func newSaid() said {
	return said{
		changed: make(chan struct{}), ready: make(map[*procs.Process]int64), leading: make(map[uint64]*procs.Process),
		replied: make(map[uint64]int64), told: make(map[*procs.Process]map[string]uint64),
	}
}

// hear takes an event of a child.
func (s *said) hear(from *procs.Process, e roles.Said) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Event {
	case roles.EventReady:
		s.ready[from] = e.At
	case roles.EventLeading:
		s.leading[e.Number] = from
	case roles.EventTerm:
		if at, known := s.replied[e.Number]; !known || e.At < at {
			s.replied[e.Number] = e.At
		}
	case roles.EventNext:
		if s.next == 0 || e.At < s.next {
			s.next = e.At
		}
	default:
		if s.told[from] == nil {
			s.told[from] = make(map[string]uint64)
		}
		if e.Event == roles.EventDone {
			s.told[from][e.Event]++
		} else {
			s.told[from][e.Event] = e.Number
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Start starts this binary in a role. What it prints goes to a file of its name.
func (w *World) Start(name, role string, order any) (*procs.Process, error) {
	cmd, err := roles.Command(role, order)
	if err != nil {
		return nil, err
	}
	if w.Procs > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(w.Procs))
	}
	log, err := os.OpenFile(w.logOf(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child writes it
	cmd.Stderr = log
	known := make(chan *procs.Process, 1)
	c, err := procs.Start(name, cmd, func(out io.Reader) {
		var c *procs.Process
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if c == nil {
				c = <-known
			}
			if e, ok := roles.ParseSaid(lines.Text()); ok {
				w.said.hear(c, e)
			}
		}
	})
	if err == nil {
		known <- c
	}
	return c, err
}

func (w *World) logOf(name string) string { return filepath.Join(w.Dir, name+".log") }

// StartReady starts a child like Start, and returns when the child does its part.
// Close kills it.
func (w *World) StartReady(ctx context.Context, name, role string, order any) (*procs.Process, error) {
	c, err := w.Start(name, role, order)
	if err != nil {
		return nil, err
	}
	w.others = append(w.others, c)
	return c, w.AwaitReady(ctx, c)
}

// AwaitReady returns when a child does its part.
func (w *World) AwaitReady(ctx context.Context, c *procs.Process) error {
	err := w.await(ctx, c.Name+" to be ready", ReadyWithin, func() bool { return w.said.ready[c] != 0 || !c.Alive() })
	if err == nil && !c.Alive() {
		return fmt.Errorf("%s ended before it was ready: %w", c.Name, w.Autopsy(c))
	}
	return err
}

// Autopsy says how a child has ended that should not have, with the end of its log.
func (w *World) Autopsy(c *procs.Process) error {
	return fmt.Errorf("%w\n%s", errOf(c), tail(w.logOf(c.Name)))
}

func errOf(c *procs.Process) error {
	if err := c.Err(); err != nil {
		return err
	}
	return errors.New("without an error")
}

// tail returns the end of a log, for a person.
func tail(path string) string {
	data, err := os.ReadFile(path) //nolint:gosec // our own log
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// await returns when the condition holds. It looks after each event, and nothing else is
// heard meanwhile.
func (w *World) await(ctx context.Context, what string, within time.Duration, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		w.said.mu.Lock()
		changed := w.said.changed
		ok := holds()
		w.said.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond): // the end of a child makes no event
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %w", within, what, ctx.Err())
		}
	}
}

// ReadyAt returns when a child began to do its part, 0 if it has not begun.
func (w *World) ReadyAt(c *procs.Process) int64 {
	w.said.mu.Lock()
	defer w.said.mu.Unlock()
	return w.said.ready[c]
}

// Heard returns a copy of the last number of each event that a child has printed.
func (w *World) Heard(c *procs.Process) map[string]uint64 {
	w.said.mu.Lock()
	defer w.said.mu.Unlock()
	return maps.Clone(w.said.told[c])
}

// doneWithin bounds what a child is told to do.
const doneWithin = 5 * time.Minute

// Order has a child do something, and returns a function that waits until that is
// done.
func (w *World) Order(c *procs.Process, command string, args ...any) (done func(context.Context) error, err error) {
	before := w.Heard(c)[roles.EventDone]
	words := []string{command}
	for _, a := range args {
		words = append(words, fmt.Sprint(a))
	}
	line := strings.Join(words, " ")
	if err := c.Tell(line); err != nil {
		return nil, fmt.Errorf("tell %s to %s: %w", c.Name, line, err)
	}
	return func(ctx context.Context) error {
		err := w.await(ctx, c.Name+" to be done with "+line, doneWithin, func() bool {
			return w.said.told[c][roles.EventDone] > before || !c.Alive()
		})
		if err == nil && !c.Alive() {
			err = fmt.Errorf("%s ended: %w", c.Name, errOf(c))
		}
		return err
	}, nil
}

// Do has a child do something, and returns when it is done.
func (w *World) Do(ctx context.Context, c *procs.Process, command string, args ...any) error {
	done, err := w.Order(c, command, args...)
	if err != nil {
		return err
	}
	return done(ctx)
}
