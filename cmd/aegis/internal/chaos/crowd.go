package chaos

import (
	"context"
	"maps"
	"slices"
	"sync"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// crowd is the instances of the service, as the registry says. It is safe for concurrent use.
type crowd struct {
	mu        sync.Mutex // guards the fields below
	instances map[string]aegis.Instance
	killed    map[string]bool // the registry still has them for a while
	err       error           // why it is not up to date any more
}

// watchCrowd follows the instances of a service until ctx ends.
func watchCrowd(ctx context.Context, conn *aegis.Conn, service string, watching *sync.WaitGroup) *crowd {
	c := &crowd{instances: make(map[string]aegis.Instance), killed: make(map[string]bool)}
	watching.Go(func() {
		for change, err := range conn.WatchInstances(ctx, service) {
			c.add(change, err)
		}
	})
	return c
}

func (c *crowd) add(change aegis.InstanceChange, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.err = err
	case change.Kind == aegis.InstanceLeft || change.Kind == aegis.InstanceExpired:
		delete(c.instances, change.Instance.Process)
	default:
		c.instances[change.Instance.Process] = change.Instance
	}
}

// bury has a process that was killed serve and lead no more.
func (c *crowd) bury(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed[id] = true
}

// serving returns the ids of the processes whose instances serve.
func (c *crowd) serving() ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(c.instances)) {
		if i := c.instances[id]; i.State == aegis.StateRunning && !c.killed[id] {
			ids = append(ids, id)
		}
	}
	return ids, c.err
}

// leader returns the id of the process that leads a group, "" if none does. A process that
// was frozen says that it leads until it finds out that another one does, in a later term.
func (c *crowd) leader(group string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	leader, latest := "", uint64(0)
	for id, i := range c.instances {
		for _, t := range i.Leading {
			if t.Group == group && t.Token > latest && !c.killed[id] {
				leader, latest = id, t.Token
			}
		}
	}
	return leader
}

// name returns the name of an instance by the id of its process.
func (c *crowd) name(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.instances[id].Name
}

// has tells whether the process with this id is known, in any state.
func (c *crowd) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.instances[id]
	return ok
}
