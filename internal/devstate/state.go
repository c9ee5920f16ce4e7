// Package devstate is the file with which a command that runs servers, `aegis dev` or
// `aegis demo --forever`, tells other commands what it runs.
//
//	state.go           what is in the file, and who may read and write it
//	place.go           where it is
//	register.go        the state as it changes
//	again.go           what other commands ask of the one that runs servers
//	sys_*.go           locks and signals, which are a matter of the system
package devstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// version is that of the file.
	version = 1

	fileName = "dev.json"
	lockName = "lock"
)

// State is what a command runs.
type State struct {
	Version int `json:"version"`
	// PID is the process id of the command.
	PID int `json:"pid"`
	// NATS is the URL of the NATS that it has started, "" if it uses another one.
	NATS string `json:"nats,omitempty"`
	// Namespace is that of the services, "" for the default or that of the environment.
	Namespace string `json:"namespace,omitempty"`
	// Faults: the command kills and pauses servers by itself.
	Faults bool `json:"faults,omitempty"`
	// Servers are the processes that run now.
	Servers []Server `json:"servers"`
}

// Server is a process that the command has started.
type Server struct {
	Name    string `json:"name"`
	Package string `json:"package,omitempty"`
	PID     int    `json:"pid"`
}

// ErrNone is the error of a place where no command runs.
var ErrNone = errors.New("nothing runs")

// write writes the state. A reader finds the file as it was before or as it is after.
func (p Place) write(s *State) error {
	s.Version = version
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(p.Dir, fileName)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Read reads the state of the command that runs. It is an error if none does.
func (p Place) Read() (*State, error) {
	path := filepath.Join(p.Dir, fileName)
	text, err := os.ReadFile(path) //nolint:gosec // in a directory of the user's
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no %s is to be found in %s", ErrNone, p.Command, p.Dir)
	}
	if err != nil {
		return nil, err
	}
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	if s.Version != version {
		return nil, fmt.Errorf("%s is of version %d, and this command reads %d: run both commands of the same version", path, s.Version, version)
	}
	if !held(filepath.Join(p.Dir, lockName)) {
		return nil, fmt.Errorf("%w: process %d, %s, has left %s behind, and is gone", ErrNone, s.PID, p.Command, path)
	}
	return &s, nil
}
