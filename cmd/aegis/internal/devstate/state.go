// Package devstate is the file with which `aegis dev` tells other commands what it runs.
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
	// Dir is the directory of aegis dev in a project.
	Dir = ".aegis"
	// version is that of the file.
	version = 1

	fileName = "dev.json"
	// LockName is the file in Dir that aegis dev holds locked while it runs.
	LockName = "lock"
)

// State is what an aegis dev runs.
type State struct {
	Version int `json:"version"`
	// PID is the process id of aegis dev.
	PID int `json:"pid"`
	// NATS is the URL of the NATS that it has started, "" if it uses another one.
	NATS string `json:"nats,omitempty"`
	// Namespace is that of the services, "" for the default or that of the environment.
	Namespace string `json:"namespace,omitempty"`
	// Servers are the processes that run now.
	Servers []Server `json:"servers"`
}

// Server is a process that aegis dev has started.
type Server struct {
	Name    string `json:"name"`
	Package string `json:"package"`
	PID     int    `json:"pid"`
}

// ErrNone is the error of Find where no aegis dev runs.
var ErrNone = errors.New("no aegis dev runs")

// Write writes the state to the directory of aegis dev in a project. A reader finds the
// file as it was before or as it is after.
func Write(dir string, s *State) error {
	s.Version = version
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, fileName)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Remove removes the state.
func Remove(dir string) { _ = os.Remove(filepath.Join(dir, fileName)) } // a reader finds that dev is gone

// Find returns the directory of aegis dev in the project that the current directory belongs
// to. It is an error if no aegis dev runs the project.
func Find() (dir string, err error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for project := here; ; project = filepath.Dir(project) {
		if info, err := os.Stat(filepath.Join(project, "go.mod")); err == nil && !info.IsDir() {
			dir = filepath.Join(project, Dir)
			_, err := Read(dir)
			return dir, err
		}
		if project == filepath.Dir(project) {
			return "", fmt.Errorf("%w here, as %s is in no project", ErrNone, here)
		}
	}
}

// Read reads the state of the aegis dev that runs. It is an error if none does.
func Read(dir string) (*State, error) {
	path := filepath.Join(dir, fileName)
	text, err := os.ReadFile(path) //nolint:gosec // in the user's project
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNone, filepath.Dir(dir))
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
	if !held(filepath.Join(dir, LockName)) {
		return nil, fmt.Errorf("%w in %s: process %d has left %s behind, and is gone", ErrNone, filepath.Dir(dir), s.PID, path)
	}
	return &s, nil
}
