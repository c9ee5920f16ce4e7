package parts

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Causes are why a part that takes messages from several consumers cannot work:
// it can when all of them can. The first cause is told until it is gone, so that
// one reason that all of them have makes one line. It is safe for concurrent use.
type Causes struct {
	part *Part

	mu   sync.Mutex
	errs map[string]error // by consumer
	told string           // whose cause was told last
}

// NewCauses makes those of a part.
func NewCauses(part *Part) *Causes { return &Causes{part: part, errs: make(map[string]error)} }

// Fails says why the part cannot take messages from a consumer.
func (c *Causes) Fails(consumer string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs[consumer] = err
	c.tell(consumer)
}

// Works says that it can.
func (c *Causes) Works(consumer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.errs, consumer)
	if len(c.errs) == 0 {
		c.part.Works()
		return
	}
	c.tell("")
}

// Failed reports whether a consumer has a cause.
func (c *Causes) Failed(consumer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errs[consumer] != nil
}

// tell tells the cause that was told before, if there still is one; c.mu is held.
func (c *Causes) tell(latest string) {
	if c.errs[c.told] == nil {
		c.told = cmp.Or(latest, slices.Sorted(maps.Keys(c.errs))[0])
	} else if latest != c.told {
		return
	}
	c.part.Fails(c.errs[c.told])
}
