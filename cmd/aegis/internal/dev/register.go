package dev

import (
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/devstate"
)

// register tells other commands, such as chaos, what runs. It is safe for concurrent use.
type register struct {
	dir string
	out *output

	mu    sync.Mutex // guards the state and its file
	state devstate.State
	told  bool // that the file cannot be written
}

// newRegister makes the register of a run. url is "" if dev has started no NATS.
func newRegister(dir, url, namespace string, out *output) *register {
	r := &register{dir: dir, out: out, state: devstate.State{PID: os.Getpid(), NATS: url, Namespace: namespace, Servers: []devstate.Server{}}}
	r.write()
	return r
}

// close takes the file away.
func (r *register) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	devstate.Remove(r.dir)
}

// runs notes the process of an instance; one with the id 0 has ended.
func (r *register) runs(s devstate.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	servers := slices.DeleteFunc(r.state.Servers, func(other devstate.Server) bool { return other.Name == s.Name })
	if s.PID != 0 {
		servers = append(servers, s)
	}
	slices.SortFunc(servers, func(a, b devstate.Server) int { return strings.Compare(a.Name, b.Name) })
	r.state.Servers = servers
	r.write()
}

func (r *register) write() {
	if err := devstate.Write(r.dir, &r.state); err != nil && !r.told {
		r.told = true
		r.out.sayf(warning, "aegis chaos will not find the servers: %v", err)
	}
}
