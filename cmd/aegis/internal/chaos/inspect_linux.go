package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// inspect reads what the system knows of a process.
func inspect(pid int) (info, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat")) //nolint:gosec // of a process
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return info{}, errNoProcess
	}
	if err != nil {
		return info{}, err
	}
	// The name is in brackets, and may have brackets and spaces in it.
	end := bytes.LastIndexByte(stat, ')')
	begin := bytes.IndexByte(stat, '(')
	fields := strings.Fields(string(stat[end+1:]))
	if begin < 0 || end < begin || len(fields) < 2 {
		return info{}, fmt.Errorf("%s/stat cannot be read: %q", dir, stat)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return info{}, fmt.Errorf("%s/stat: %w", dir, err)
	}
	owner, err := os.Stat(dir)
	if err != nil {
		return info{}, errNoProcess
	}
	i := info{parent: parent, user: -1, name: string(stat[begin+1 : end])}
	if s, ok := owner.Sys().(*syscall.Stat_t); ok {
		i.user = int(s.Uid)
	}
	switch fields[0] {
	case "Z", "X":
		return info{}, errNoProcess
	case "T", "t":
		i.stopped = true
	}
	return i, nil
}
