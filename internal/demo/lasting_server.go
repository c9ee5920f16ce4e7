package demo

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aegisrpc/aegis/internal/procs"
)

const (
	// startAgainAfter is how long a server that has ended stays away.
	startAgainAfter = time.Second
	// graceful is how long a server may take to finish what it does.
	graceful = 10 * time.Second
)

var errNotRunning = errors.New("it does not run now")

// keeper runs a server of the lasting demo, and starts it again when it has ended. Its
// methods are safe for concurrent use.
type keeper struct {
	stage      *stage
	name, role string
	args       []string
	again      chan struct{} // asks for a server that has ended to be started now
	report     func(name string, pid int)

	mu      sync.Mutex
	process *procs.Process // nil while none runs
}

// run keeps the server running until ctx ends. Then it stops it.
func (k *keeper) run(ctx context.Context) {
	for {
		if err := k.once(ctx); err != nil {
			k.stage.sayf("%s has ended (%v), and is started again", k.name, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(startAgainAfter):
		case <-k.again:
		}
	}
}

// once runs the server until it ends, and returns why.
func (k *keeper) once(ctx context.Context) error {
	command := append(slices.Clone(k.stage.self), k.role, "--nats", k.stage.nats.ClientURL(), "--name", k.name)
	said := &lastLines{}
	cmd := exec.Command(command[0], append(command[1:], k.args...)...) //nolint:noctx,gosec // ended below; the demo's own program
	cmd.Stderr = said
	p, err := procs.Start(k.name, cmd, k.read)
	if err != nil {
		return err
	}
	k.runs(p)
	defer k.runs(nil)
	select {
	case <-p.Ended():
	case <-ctx.Done():
		k.end(p)
		return nil
	}
	if p.State().ExitCode() > 0 {
		k.stage.sayf("%s says:\n%s", k.name, said)
	}
	return errors.New(p.State().String())
}

// runs notes the process that runs now. What was asked of the one before is over.
func (k *keeper) runs(p *procs.Process) {
	select {
	case <-k.again:
	default:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.process = p
	if p == nil {
		k.report(k.name, 0)
		return
	}
	k.report(k.name, p.Pid())
}

// read says what a person wants to know of what the server prints.
func (k *keeper) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), " leads in term ") {
			k.stage.sayf("%s", lines.Text())
		}
	}
}

// end stops a process, also one that is paused.
func (k *keeper) end(p *procs.Process) {
	_ = errors.Join(p.Thaw(), p.Signal(syscall.SIGTERM)) // fail if it has ended
	select {
	case <-p.Ended():
	case <-time.After(graceful):
		k.stage.sayf("%s has not stopped within %v, and is killed", k.name, graceful)
		p.Kill()
	}
}

func (k *keeper) running() (*procs.Process, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process == nil {
		return nil, errNotRunning
	}
	return k.process, nil
}

// signal sends the server a signal.
func (k *keeper) signal(sig syscall.Signal) error {
	p, err := k.running()
	if err != nil {
		return err
	}
	return p.Signal(sig)
}

// lastLines keeps the end of what is written to it.
type lastLines struct{ text []byte }

func (l *lastLines) Write(text []byte) (int, error) {
	const most = 2000
	l.text = append(l.text, text...)
	l.text = l.text[max(0, len(l.text)-most):]
	return len(text), nil
}

func (l *lastLines) String() string { return strings.TrimSpace(string(l.text)) }
