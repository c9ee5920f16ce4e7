package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
)

const (
	startLimit = 20 * time.Second
	askLimit   = 20 * time.Second // beyond what the question itself takes
	stopLimit  = 5 * time.Second
)

// process is a child that plays a role. It is asked over its standard input and
// answers over its standard output, in JSON; when its input ends, it ends.
type process struct {
	role string
	cmd  *exec.Cmd
	in   io.WriteCloser
	enc  *json.Encoder
	dec  *json.Decoder
	url  string // what a NATS server said when it was ready
}

// startProcess runs a program in a role, "" for this one again, and waits until
// it is ready.
func startProcess(ctx context.Context, program, role, url string) (*process, error) {
	var err error
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	p := &process{role: role, cmd: exec.CommandContext(ctx, program, child.Command, role, url)} //nolint:gosec // it is this program, or was just built
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.enc, p.dec = json.NewEncoder(p.in), json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.receive(startLimit, &p.url); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// ask has the child do something that takes about as long as it says, and reads
// the result into result unless that is nil.
func (p *process) ask(op string, arg any, takes time.Duration, result any) error {
	raw, err := json.Marshal(arg)
	if err != nil {
		return err
	}
	if err := p.enc.Encode(child.Question{Op: op, Arg: raw}); err != nil {
		return fmt.Errorf("%s: %w", p.role, err)
	}
	return p.receive(takes+askLimit, result)
}

// receive waits for a reply. A child that is late is killed, which ends the
// read.
func (p *process) receive(limit time.Duration, result any) error {
	late := time.AfterFunc(limit, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	var r child.Reply
	switch err := p.dec.Decode(&r); {
	case err != nil:
		return fmt.Errorf("%s ended, or was ended after %v without an answer: %w", p.role, limit, err)
	case r.Error != "":
		return fmt.Errorf("%s: %w", p.role, errors.New(r.Error))
	case result == nil || r.Result == nil:
		return nil
	default:
		return json.Unmarshal(r.Result, result)
	}
}

// cpu is the processor time that the process has used so far.
func (p *process) cpu() (time.Duration, error) {
	var used time.Duration
	err := p.ask("cpu", nil, 0, &used)
	return used, err
}

func (p *process) stop() {
	_ = p.in.Close() // the child ends by that, or is killed
	late := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	_ = p.cmd.Wait() // how it ended no longer matters
}
