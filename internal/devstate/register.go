package devstate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Register keeps the file up to date while the command runs. It is safe for concurrent use.
type Register struct {
	place    Place
	complain func(error)

	mu    sync.Mutex // guards the state and its file
	state State
	told  bool // that the file cannot be written
}

// NewRegister writes the state of this process, which runs no server yet. It calls complain
// once if the file cannot be written, which makes the servers hard to find and does no other
// harm.
func NewRegister(place Place, state State, complain func(error)) *Register {
	state.PID, state.Servers = os.Getpid(), []Server{}
	r := &Register{place: place, complain: complain, state: state}
	r.write()
	return r
}

// Close takes the file away.
func (r *Register) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = os.Remove(filepath.Join(r.place.Dir, fileName)) // a reader finds that the command is gone
}

// Runs notes the process of a server; one with the id 0 has ended.
func (r *Register) Runs(s Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	servers := slices.DeleteFunc(r.state.Servers, func(other Server) bool { return other.Name == s.Name })
	if s.PID != 0 {
		servers = append(servers, s)
	}
	slices.SortFunc(servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	r.state.Servers = servers
	r.write()
}

func (r *Register) write() {
	if err := r.place.write(&r.state); err != nil && !r.told {
		r.told = true
		r.complain(err)
	}
}
