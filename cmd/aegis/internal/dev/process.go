package dev

import (
	"context"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/procs"
)

const (
	// firstPause is before a server is started again that has failed; it doubles with each
	// further failure, up to longestPause.
	firstPause   = time.Second
	longestPause = 30 * time.Second
	// steady is how long a server has to run for its next failure to count as the first.
	steady = 10 * time.Second
	// leftover is how long the last lines of a server that has ended are waited for.
	leftover = 2 * time.Second
)

// instance is one process of a server, which is started again and again.
type instance struct {
	name  string
	dir   string
	env   []string
	grace time.Duration
	out   *output
	lines *lineWriter
	// next has the program to run from now on; a newer one takes the place of an older one.
	next chan string
	// again asks the instance to start its program now, if that has ended.
	again chan struct{}
	// report tells the id of the process that runs, or 0.
	report func(pid int)
}

// replace has the instance run another program. Only one goroutine calls it.
func (i *instance) replace(program string) {
	select {
	case <-i.next:
	default:
	}
	i.next <- program
}

// run runs the programs that replace names until ctx ends, and returns when no process is
// left.
func (i *instance) run(ctx context.Context) {
	var program string
	failures := 0
	for {
		var pause <-chan time.Time
		if program != "" {
			begun := time.Now()
			newer, failed := i.once(ctx, program)
			switch {
			case ctx.Err() != nil:
				return
			case newer != "":
				program, failures = newer, 0
				continue
			case failed:
				if time.Since(begun) > steady {
					failures = 0
				}
				wait := min(firstPause<<min(failures, 10), longestPause)
				failures++
				i.out.sayf(cli.Red, "%s is started again in %v, or when its files change", i.name, wait)
				pause = time.After(wait)
			default:
				i.out.sayf(cli.Dim, "%s has ended by itself; it is started again when its files change", i.name)
			}
		}
		select {
		case <-ctx.Done():
			return
		case program = <-i.next:
			failures = 0
		case <-pause:
		case <-i.again:
			failures = 0
		}
	}
}

// once runs a program until it ends, a newer one is there, which it returns, or ctx ends.
// failed says that the program has ended with an error, or could not be started.
func (i *instance) once(ctx context.Context, program string) (newer string, failed bool) {
	cmd := exec.Command(program) //nolint:noctx // ended below
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.WaitDelay = i.dir, i.env, i.lines, leftover
	p, err := procs.Start(i.name, cmd, nil)
	if err != nil {
		i.out.sayf(cli.Red, "%v", err)
		return "", true
	}
	i.out.sayf(cli.Dim, "%s runs as process %d", i.name, p.Pid())
	i.report(p.Pid())
	defer i.gone()
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(i.lines, p.Stdout) // ends with the process, and its errors mean the same
	}()
	defer i.settle(p, read)

	select {
	case <-p.Ended():
		if err := p.Err(); err != nil {
			i.out.sayf(cli.Red, "%s failed: %v", i.name, err)
			return "", true
		}
		return "", false
	case newer = <-i.next:
		i.stop(p)
		return newer, false
	case <-ctx.Done():
		i.stop(p)
		return "", false
	}
}

// gone reports that no process runs. The part that starts it again has seen that, so that
// what was asked before is over.
func (i *instance) gone() {
	select {
	case <-i.again:
	default:
	}
	i.report(0)
}

// stop asks a process to end, and kills it if it takes longer than the grace.
func (i *instance) stop(p *procs.Process) {
	if err := p.Signal(syscall.SIGTERM); err != nil { // there is no such signal on Windows
		p.Kill()
	}
	select {
	case <-p.Ended():
	case <-time.After(i.grace):
		i.out.sayf(cli.Red, "%s has not stopped within %v, and is killed", i.name, i.grace)
		p.Kill()
	}
}

// settle ends what a process has left behind, and shows its last lines.
func (i *instance) settle(p *procs.Process, read <-chan struct{}) {
	killGroup(p.Pid())
	select {
	case <-read:
	case <-time.After(leftover): // somebody outside the process group has its output
	}
	if c, ok := p.Stdout.(io.Closer); ok {
		_ = c.Close() // it was only read
	}
	_ = p.Stdin.Close() // the reader has ended
	i.lines.end()
}
