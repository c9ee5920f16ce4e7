package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/embednats"
)

const (
	// partLimit is for a part that hangs; all that it started is killed then.
	partLimit = 60 * time.Second
	pollEvery = time.Millisecond
)

// stage is shared by the parts. Its close ends and removes everything that was
// started and made on it.
type stage struct {
	saying    sync.Mutex // of one line
	out       io.Writer
	self      []string // the command that starts this program again
	began     time.Time
	dir       string
	nats      *embednats.Server
	processes []*process
}

func openStage(out io.Writer, self []string) (*stage, error) {
	s := &stage{out: out, self: self, began: time.Now()}
	var err error
	if s.dir, err = os.MkdirTemp("", "aegis-demo-"); err != nil {
		return nil, err
	}
	if s.nats, err = embednats.Start(embednats.Options{StoreDir: filepath.Join(s.dir, "nats")}); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.sayf("NATS server runs at %s", s.nats.ClientURL())
	return s, nil
}

func (s *stage) close() error {
	for _, p := range s.processes {
		p.Kill()
	}
	if s.nats != nil {
		s.nats.Stop()
	}
	return os.RemoveAll(s.dir)
}

func (s *stage) show(ctx context.Context, parts []part) error {
	for i, p := range parts {
		fmt.Fprintf(s.out, "\nPart %d of %d. %s\n\n", i+1, len(parts), p.title)
		if err := p.show(ctx, s); err != nil {
			return fmt.Errorf("part %d did not go as promised:\n%w", i+1, err)
		}
	}
	return nil
}

// sayf prints a line that begins with the time since the demo's start.
func (s *stage) sayf(format string, args ...any) {
	s.saying.Lock()
	defer s.saying.Unlock()
	fmt.Fprintf(s.out, "%6.2f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// start starts this program again in a role, as a process that is killed when ctx ends.
func (s *stage) start(ctx context.Context, name, role string, args ...string) (*process, error) {
	command := append(slices.Clone(s.self[1:]), role)
	p, err := startProcess(ctx, name, s.self[0], append(command, args...)...)
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	return p, nil
}

// startServers starts servers of one role, all with these arguments, and returns when
// they run.
func (s *stage) startServers(ctx context.Context, role string, names []string, args ...string) (all []*process, err error) {
	for _, name := range names {
		p, err := s.start(ctx, name, role, append([]string{"--nats", s.nats.ClientURL(), "--name", name, "--heartbeat", heartbeat.String()}, args...)...)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	for _, p := range all {
		if err := p.awaitLine("is RUNNING"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func limitPart(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, partLimit, fmt.Errorf("it took longer than %v", partLimit))
}

// await waits until condition holds or ctx ends.
func await(ctx context.Context, condition func() bool) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for !condition() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// listed names processes, for people.
func listed(processes []*process) string {
	names := make([]string, len(processes))
	for i, p := range processes {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}

// thousands formats n with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
