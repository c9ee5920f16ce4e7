package aegis

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// parts are what a server does besides calls, each of which can fail while the
// others work: the commands of a method, the events of a subscription, the
// election of a group.
type parts struct {
	mu     sync.Mutex
	broken map[string]error // why a part does not work, by its name
}

// part is one of them. Its problem is told once when it begins, again when it
// becomes another one or has lasted for another minute, and once when it is over.
type part struct {
	of     *parts
	name   string // as people read it: "the commands of order.v1.OrderService.Work"
	logger func() *slog.Logger

	mu    sync.Mutex
	since time.Time // when it began to fail; zero: it works
	told  string    // what was logged last
	at    time.Time // when
}

// sameProblem is how long a problem that lasts is not told again.
const sameProblem = time.Minute

// fails says that the part does not work.
func (p *part) fails(err error) {
	now := time.Now()
	p.mu.Lock()
	if p.since.IsZero() {
		p.since = now
	}
	fresh := p.told != err.Error() || now.Sub(p.at) >= sameProblem
	if fresh {
		p.told, p.at = err.Error(), now
	}
	p.mu.Unlock()
	p.of.set(p.name, err)
	if fresh {
		p.logger().Error("aegis: "+p.name+" cannot work", "err", err)
	}
}

// works says that it does.
func (p *part) works() {
	p.mu.Lock()
	since := p.since
	p.since, p.told = time.Time{}, ""
	p.mu.Unlock()
	if since.IsZero() {
		return
	}
	p.of.set(p.name, nil)
	p.logger().Info("aegis: "+p.name+" can work again", "after", time.Since(since).Round(time.Millisecond))
}

func (p *parts) set(name string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.broken, name)
		return
	}
	if p.broken == nil {
		p.broken = make(map[string]error)
	}
	p.broken[name] = err
}

// err returns why a part does not work, the first by its name; nil if all do.
func (p *parts) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.broken)) {
		return fmt.Errorf("aegis: %s cannot work: %w", name, p.broken[name])
	}
	return nil
}
