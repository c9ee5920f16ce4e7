package crew

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/procs"
)

const (
	startLimit = 20 * time.Second
	askLimit   = 20 * time.Second // beyond what the question itself takes
	stopLimit  = 5 * time.Second
)

// Process is a child that plays a role. It is asked over its standard input and
// answers over its standard output, in JSON; when its input ends, it ends.
type Process struct {
	*procs.Process

	enc *json.Encoder
	dec *json.Decoder
	URL string // of a NATS server; empty of any other process
}

// startProcess runs a program in a role, "" for this one again, and waits until
// it is ready.
func startProcess(ctx context.Context, program, role, url string) (*Process, error) {
	var err error
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, program, child.Command, role, url) //nolint:gosec // it is this program, or was just built
	cmd.Stderr = os.Stderr
	started, err := procs.Start(role, cmd, nil)
	if err != nil {
		return nil, err
	}
	p := &Process{Process: started, enc: json.NewEncoder(started.Stdin), dec: json.NewDecoder(started.Stdout)}
	if err := p.receive(startLimit, &p.URL); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// Ask has the child do something that takes about as long as it says, and reads
// the result into result unless that is nil.
func (p *Process) Ask(op string, arg any, takes time.Duration, result any) error {
	raw, err := json.Marshal(arg)
	if err != nil {
		return err
	}
	if err := p.enc.Encode(child.Question{Op: op, Arg: raw}); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return p.receive(takes+askLimit, result)
}

// receive waits for a reply. A child that is late is killed, which ends the
// read.
func (p *Process) receive(limit time.Duration, result any) error {
	late := time.AfterFunc(limit, p.Kill)
	defer late.Stop()
	var r child.Reply
	switch err := p.dec.Decode(&r); {
	case err != nil:
		return fmt.Errorf("%s ended, or was ended after %v without an answer: %w", p.Name, limit, err)
	case r.Error != "":
		return fmt.Errorf("%s: %w", p.Name, errors.New(r.Error))
	case result == nil || r.Result == nil:
		return nil
	default:
		return json.Unmarshal(r.Result, result)
	}
}

// cpu is the processor time that the process has used so far.
func (p *Process) cpu() (time.Duration, error) {
	var used time.Duration
	err := p.Ask("cpu", nil, 0, &used)
	return used, err
}

// stop ends the process. How the process ended no longer matters.
func (p *Process) stop() { _ = p.Finish(context.Background(), stopLimit) }
