package health

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of times in /proc: USER_HZ is 100 on every architecture that
// Go runs on.
const tick = time.Second / 100

// Fields of /proc/<pid>/stat, counted from the one after the name, see
// proc_pid_stat(5).
const (
	fieldUser     = 14 - 3
	fieldSystem   = 15 - 3
	fieldResident = 24 - 3
)

// errStat is wrapped by the error for a /proc/<pid>/stat that cannot be read.
var errStat = errors.New("health: /proc/self/stat is not as it should be")

// CurrentProcess returns the process that runs this code.
func CurrentProcess() Process { return procfs{path: "/proc/self/stat", page: uint64(os.Getpagesize())} }

// procfs is a process whose usage Linux tells in a file of /proc.
type procfs struct {
	path string
	page uint64
}

func (p procfs) CPUTime() (time.Duration, error) {
	data, err := os.ReadFile(p.path)
	if err != nil {
		return 0, err
	}
	return parseCPUTime(data)
}

func (p procfs) Memory() (uint64, error) {
	data, err := os.ReadFile(p.path)
	if err != nil {
		return 0, err
	}
	return parseMemory(data, p.page)
}

func parseCPUTime(stat []byte) (time.Duration, error) {
	user, err := statField(stat, fieldUser)
	if err != nil {
		return 0, err
	}
	system, err := statField(stat, fieldSystem)
	if err != nil {
		return 0, err
	}
	const most = uint64(1<<63-1) / uint64(tick) / 2
	if user > most || system > most {
		return 0, fmt.Errorf("%w: times of %d and %d ticks", errStat, user, system)
	}
	return time.Duration(user+system) * tick, nil
}

func parseMemory(stat []byte, page uint64) (uint64, error) {
	pages, err := statField(stat, fieldResident)
	if err != nil {
		return 0, err
	}
	if pages > (1<<63)/page {
		return 0, fmt.Errorf("%w: %d pages of memory", errStat, pages)
	}
	return pages * page, nil
}

// statField returns a field by its number after the name. The name is in parentheses, and
// may contain any characters, parentheses and spaces too.
func statField(stat []byte, number int) (uint64, error) {
	_, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := bytes.Fields(rest)
	if !ok || number >= len(fields) {
		return 0, fmt.Errorf("%w: %d fields", errStat, len(fields))
	}
	value, err := strconv.ParseUint(string(fields[number]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errStat, err)
	}
	return value, nil
}
