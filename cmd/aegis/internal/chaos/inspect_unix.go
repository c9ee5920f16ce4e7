//go:build unix && !linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// inspect asks ps what the system knows of a process.
func inspect(pid int) (info, error) {
	out, err := exec.CommandContext(context.Background(), "ps", "-o", "ppid=,uid=,state=,comm=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec // a number
	if _, failed := errors.AsType[*exec.ExitError](err); failed {
		return info{}, errNoProcess
	}
	if err != nil {
		return info{}, fmt.Errorf("ask ps for process %d: %w", pid, err)
	}
	fields := strings.Fields(string(out))
	if len(fields) < 4 {
		return info{}, errNoProcess
	}
	parent, err := strconv.Atoi(fields[0])
	if err != nil {
		return info{}, fmt.Errorf("ps tells of process %d: %q", pid, out)
	}
	user, err := strconv.Atoi(fields[1])
	if err != nil {
		return info{}, fmt.Errorf("ps tells of process %d: %q", pid, out)
	}
	if strings.HasPrefix(fields[2], "Z") {
		return info{}, errNoProcess
	}
	name := filepath.Base(strings.Join(fields[3:], " "))
	return info{parent: parent, user: user, name: name, stopped: strings.HasPrefix(fields[2], "T")}, nil
}
