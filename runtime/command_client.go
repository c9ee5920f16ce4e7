package aegis

import (
	"sync"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// commandClient sends the commands of one service over a connection, and waits for them.
// All clients of the service on the connection share it, so that one subscription hears
// of all the commands that they have sent. It is safe for concurrent use.
type commandClient struct {
	conn     *Conn
	service  *spec.Service
	results  *commandstore.Results
	listener *commandwait.Listener

	mu     sync.Mutex                      // guards queues
	queues map[Storage]*commandstore.Queue // the stream of the commands, as each storage wants it
}

// commandClientKey is the name of the service of a commandClient.
type commandClientKey string

// commandsOf returns the commandClient of a service.
func (c *Conn) commandsOf(service *spec.Service) *commandClient {
	c.void.Use(wire.KindCommand)
	return perConn(c, commandClientKey(service.Name), func() *commandClient {
		// A worker that was here first has made the stream of the results; a sender that
		// has to make it, to cancel a command, leaves its size to the proto.
		results := c.commandResults(service, &Storage{}, func(string) {})
		listener := commandwait.NewListener(commandwait.Options{Results: results, Start: c.startWithin, Done: c.ctx.Done(), Flush: c.flush})
		return &commandClient{conn: c, service: service, results: results, listener: listener, queues: make(map[Storage]*commandstore.Queue)}
	})
}

// commandResults returns the store for the results, the progress and the cancels of a
// service's commands. The stream is kept as s says; warn is called with what differs from
// that in a stream that exists.
func (c *Conn) commandResults(service *spec.Service, s *Storage, warn func(string)) *commandstore.Results {
	return &commandstore.Results{
		Bus: c.bus, Stores: c.stores, Subjects: c.subjects, Service: service.Name, Queue: wire.CommandStream(c.ns, service.Name),
		Stream: stores.Stream{Stores: c.stores, Want: c.layout().Results(service, s.settings()), Policy: s.policy(warn)},
	}
}

// queue returns the queue of the commands, whose stream is kept as s says.
func (c *commandClient) queue(s *Storage) *commandstore.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[*s]
	if q == nil {
		q = &commandstore.Queue{Results: c.results, Stream: stores.Stream{
			Stores: c.conn.stores, Want: c.conn.layout().Commands(c.service, s.settings()),
			Policy: s.policy(func(text string) { c.conn.logger.Warn("aegis: " + text) }),
		}}
		c.queues[*s] = q
	}
	return q
}
