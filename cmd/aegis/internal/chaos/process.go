package chaos

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/internal/devstate"
)

var errNoProcess = errors.New("there is no such process")

// info is what the system knows of a process.
type info struct {
	parent, user int
	name         string
	stopped      bool
}

// process is a process that may be harmed.
type process struct {
	pid    int
	name   string // that of the server in aegis dev or demo, or of the program
	handle *os.Process
	// id is that of the process in the registry, once identify has found it.
	id string
	// other: the process does not serve the service, as identify has found out.
	other bool
}

// String names the process to a person.
func (p *process) String() string { return fmt.Sprintf("%s (process %d)", p.name, p.pid) }

// open returns a process if it may be harmed. Where the system can do so, the handle stays
// that of this process even if its number is given to another one.
func open(pid int, name string) (*process, error) {
	protected, err := ancestors()
	if err != nil {
		return nil, err
	}
	if slices.Contains(protected, pid) {
		return nil, fmt.Errorf("process %d is this command or one of its parents, which it does not harm", pid)
	}
	if pid <= 1 {
		return nil, fmt.Errorf("process %d is no server", pid)
	}
	handle, err := os.FindProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	i, err := inspect(pid)
	switch {
	case err != nil:
		return nil, fmt.Errorf("process %d: %w", pid, err)
	case i.user != os.Getuid():
		return nil, fmt.Errorf("process %d (%s) is of another user, with the id %d, and this command only harms those of user %d", pid, i.name, i.user, os.Getuid())
	case i.name == "nats-server":
		return nil, fmt.Errorf("process %d is a NATS server, and this command only harms servers of services", pid)
	case i.stopped:
		return nil, fmt.Errorf("process %d (%s) is stopped already: let it go on first (kill -CONT %d)", pid, i.name, pid)
	}
	if name == "" {
		name = i.name
	}
	return &process{pid: pid, name: name, handle: handle}, nil
}

// ancestors are this process and those that have started it.
func ancestors() ([]int, error) {
	var all []int
	for pid := os.Getpid(); pid > 1 && !slices.Contains(all, pid); {
		all = append(all, pid)
		i, err := inspect(pid)
		if errors.Is(err, errNoProcess) {
			break // of another container
		}
		if err != nil {
			return nil, err
		}
		pid = i.parent
	}
	return all, nil
}

// fleet is all processes that may be harmed.
type fleet struct {
	keeper    *devstate.Place // of the command that starts them again; nil with --pid
	processes []*process
}

// findFleet finds the processes of --pid, or else the servers of aegis dev or of the demo,
// whose state is nil with --pid.
func findFleet(o *order) (*fleet, *devstate.State, error) {
	switch {
	case o.demo:
		return demoFleet()
	case len(o.pids) == 0:
		return devFleet()
	}
	f := &fleet{}
	for _, pid := range o.pids {
		p, err := open(pid, "")
		if err != nil {
			return nil, nil, err
		}
		f.processes = append(f.processes, p)
	}
	return f, nil, nil
}

func devFleet() (*fleet, *devstate.State, error) {
	place, err := devstate.FindProject()
	if err == nil {
		return keptFleet(place, "run `aegis dev --instances 3` in the project and this command in the same directory, name processes with --pid, or use --demo")
	}
	return nil, nil, fmt.Errorf("%w: change into one that aegis dev runs, name processes with --pid, or use --demo", err)
}

func demoFleet() (*fleet, *devstate.State, error) {
	place, err := devstate.Demo()
	if err != nil {
		return nil, nil, err
	}
	f, state, err := keptFleet(place, "run `aegis demo --forever --faults=false` as this user")
	if err == nil && state.Faults {
		return nil, nil, errors.New("the demo kills and pauses servers by itself, so that its faults would be taken for those of this command: " +
			"run `aegis demo --forever --faults=false`")
	}
	return f, state, err
}

// keptFleet is the servers of a command that starts them again. The hint is for a person who
// has not started it.
func keptFleet(place devstate.Place, hint string) (*fleet, *devstate.State, error) {
	f := &fleet{keeper: &place}
	state, err := f.refresh()
	if errors.Is(err, devstate.ErrNone) {
		return nil, nil, fmt.Errorf("%w: %s", err, hint)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(f.processes) == 0 {
		return nil, nil, fmt.Errorf("%s runs no server now: see its output", place.Command)
	}
	return f, state, nil
}

// refresh takes over the processes that aegis dev or the demo runs now.
func (f *fleet) refresh() (*devstate.State, error) {
	if f.keeper == nil {
		return nil, nil //nolint:nilnil // nobody starts them again
	}
	state, err := f.keeper.Read()
	if err != nil {
		return nil, err
	}
	var now []*process
	for _, s := range state.Servers {
		if i := slices.IndexFunc(f.processes, func(p *process) bool { return p.pid == s.PID && p.name == s.Name }); i >= 0 {
			now = append(now, f.processes[i])
			continue
		}
		p, err := open(s.PID, s.Name)
		if errors.Is(err, errNoProcess) {
			continue // the keeper has not noticed it yet
		}
		if err != nil {
			return nil, err
		}
		now = append(now, p)
	}
	f.processes = now
	return state, nil
}

// drop forgets a process that does not come back.
func (f *fleet) drop(p *process) {
	f.processes = slices.DeleteFunc(f.processes, func(other *process) bool { return other == p })
}

func (f *fleet) String() string {
	names := make([]string, len(f.processes))
	for i, p := range f.processes {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}
