package parts

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Causes has the causes why a part that takes messages from several consumers does not
// work: the part works when all consumers do. The part has the first cause until that is
// gone, so that a cause which all consumers have makes one line in the log. It is safe
// for concurrent use.
type Causes struct {
	part *Part

	mu   sync.Mutex       // guards the fields below
	errs map[string]error // by consumer
	told string           // the consumer whose cause the part has
}

// NewCauses makes the causes of a part.
func NewCauses(part *Part) *Causes { return &Causes{part: part, errs: make(map[string]error)} }

// Fails notes why the part cannot take messages from a consumer.
func (c *Causes) Fails(consumer string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs[consumer] = err
	c.tell(consumer)
}

// Works notes that the part can take messages from a consumer.
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

// tell gives the part a cause: the one that it has as long as there is that, else the
// latest or any other. c.mu is held.
func (c *Causes) tell(latest string) {
	if c.errs[c.told] == nil {
		c.told = cmp.Or(latest, slices.Sorted(maps.Keys(c.errs))[0])
	} else if latest != c.told {
		return
	}
	c.part.Fails(c.errs[c.told])
}
