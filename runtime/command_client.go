package aegis

import (
	"sync"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// commandClient is what a connection shares between all that send the commands of one
// service, or wait for them: one subscription hears of all that it has sent. It is safe
// for concurrent use.
type commandClient struct {
	conn     *Conn
	service  *spec.Service
	results  *commandstore.Results
	listener *commandwait.Listener

	mu     sync.Mutex // guards queues
	queues map[Storage]*commandstore.Queue
}

// commandClientKey is the name of the service of a commandClient.
type commandClientKey string

func (c *Conn) commandsOf(service *spec.Service) *commandClient {
	c.void.Use(wire.KindCommand)
	return perConn(c, commandClientKey(service.Name), func() *commandClient {
		// The stream of the results is as whoever came first has made it.
		results := c.commandResults(service, &Storage{}, func(string) {})
		listener := commandwait.NewListener(commandwait.Options{Results: results, Start: c.startWithin, Done: c.ctx.Done(), Flush: c.flush})
		return &commandClient{conn: c, service: service, results: results, listener: listener, queues: make(map[Storage]*commandstore.Queue)}
	})
}

// commandResults is what is stored beside the commands of a service, in a stream that is
// kept as s says. warn is told about a stream that differs from that.
func (c *Conn) commandResults(service *spec.Service, s *Storage, warn func(string)) *commandstore.Results {
	return &commandstore.Results{
		Bus: c.bus, Stores: c.stores, Subjects: c.subjects, Service: service.Name, Queue: wire.CommandStream(c.ns, service.Name),
		Stream: stores.Stream{Stores: c.stores, Want: c.resultStream(service, s), Policy: s.policy(warn)},
	}
}

// queue is the stream of the commands, which is kept as s says.
func (c *commandClient) queue(s *Storage) *commandstore.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[*s]
	if q == nil {
		q = &commandstore.Queue{Results: c.results, Stream: stores.Stream{
			Stores: c.conn.stores, Want: c.conn.commandStream(c.service, s),
			Policy: s.policy(func(text string) { c.conn.logger.Warn("aegis: " + text) }),
		}}
		c.queues[*s] = q
	}
	return q
}
